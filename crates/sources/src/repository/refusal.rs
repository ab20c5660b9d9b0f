//! What `git` says when a server does not give anything, and what the user can do about it.

use bourn_plan::SourceError;

/// Words of `git` and `ssh`, in the language that they are run in, and what helps. Trying again does not.
const LASTING: &[(&str, &str)] = &[
    (
        "Host key verification failed",
        "this machine does not know the server by this key: connect to it by hand once with `ssh`, compare the key, and \
         let it be noted in ~/.ssh/known_hosts",
    ),
    ("Permission denied (", KEYS),
    ("Too many authentication failures", KEYS),
    (
        "Unable to negotiate with",
        "the server and the `ssh` of this machine have no algorithm in common: allow one of those that it offers for this \
         host in ~/.ssh/config",
    ),
    ("cannot run ssh", SSH),
    // Where git has options for it, a shell runs it.
    ("ssh: not found", SSH),
    ("ssh: command not found", SSH),
    ("could not read Username", NETRC),
    ("Authentication failed", NETRC),
    // Of git itself, of a server behind SSH, of one behind HTTP, and of no server at all.
    ("' not found", GONE),
    ("Repository not found", GONE),
    ("does not appear to be a git repository", GONE),
    ("returned error: 404", GONE),
    ("returned error: 410", GONE),
    ("returned error: 403", NETRC),
    ("SSL certificate problem", CERTIFICATE),
    ("certificate verification failed", CERTIFICATE),
    ("remote helper for 'http", "install a `git` that speaks HTTP on this machine"),
];

const KEYS: &str = "the server took none of the SSH keys that it was shown: add the right one to an agent (`ssh-add`) or name \
                    it for this host in ~/.ssh/config; a key with a passphrase has to be in an agent, as nobody is asked \
                    for it here";
const GONE: &str = "there is no such repository, or who asks may not know of it; a mirror may have it";
const CERTIFICATE: &str = "this machine does not trust the server's certificate: have the time and the certificates of this \
                           machine right, or name the server's own in git's `http.sslCAInfo`";
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(said: &str, lasting: bool) {
        let error = explained(SourceError::new("Failed to fetch").detail(said));
        assert_eq!((error.temporary, error.hint.is_some()), (!lasting, lasting), "{said}");
    }

    #[test]
    fn what_trying_again_does_not_cure() {
        check("git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.", true);
        check("Received disconnect from 1.2.3.4 port 22:2: Too many authentication failures", true);
        check("Unable to negotiate with 1.2.3.4 port 22: no matching host key type found.", true);
        check("fatal: repository 'http://h/x.git/' not found", true);
        check("ERROR: Repository not found.", true);
        check("fatal: '/x' does not appear to be a git repository", true);
        check("fatal: unable to access 'http://h/': The requested URL returned error: 403", true);
        check("fatal: unable to access 'https://h/': SSL certificate problem: certificate has expired", true);
    }

    #[test]
    fn what_may_pass() {
        check("ssh: connect to host h port 22: Connection refused", false);
        check("ssh: Could not resolve hostname h: Temporary failure in name resolution", false);
        check("fatal: unable to access 'http://h/': The requested URL returned error: 503", false);
        check("fatal: the remote end hung up unexpectedly", false);
    }
}
