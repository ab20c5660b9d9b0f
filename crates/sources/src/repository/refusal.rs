//! What `git` says when a server does not give anything, and what the user can do about it.

use bourn_plan::SourceError;

/// Words of `git` and `ssh`, in the language that they are run in, and what helps. Trying again does not.
const LASTING: [(&str, &str); 8] = [
    (
        "Host key verification failed",
        "this machine does not know the server by this key: connect to it by hand once with `ssh`, compare the key, and \
         let it be noted in ~/.ssh/known_hosts",
    ),
    (
        "Permission denied (",
        "the server took none of the SSH keys that it was shown: add the right one to an agent (`ssh-add`) or name it for \
         this host in ~/.ssh/config; a key with a passphrase has to be in an agent, as nobody is asked for it here",
    ),
    ("cannot run ssh", SSH),
    // Where git has options for it, a shell runs it.
    ("ssh: not found", SSH),
    ("ssh: command not found", SSH),
    ("could not read Username", NETRC),
    ("Authentication failed", NETRC),
    ("remote helper for 'http", "install a `git` that speaks HTTP on this machine"),
];

const SSH: &str = "install the package `openssh-client` on this machine";
const NETRC: &str = "the server wants to know who asks: name a user and a password for this host in ~/.netrc";

/// The error of a server that could not be spoken to: with what helps, where that is known; else trying again may.
pub(crate) fn explained(error: SourceError) -> SourceError {
    // Without words of a tool there was no tool to run.
    let Some(said) = &error.detail else { return error };
    let known = LASTING.iter().find(|(words, _)| said.contains(words));
    match known {
        Some((_, hint)) => error.hint(*hint),
        None => error.temporary(),
    }
}
