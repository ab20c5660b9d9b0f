//! `bourn completions`: scripts that make shells ask the program for completions.
//!
//! All of them speak bst's protocol: `_BST_COMPLETION=complete` with the words in `COMP_WORDS` and the index of the
//! current one in `COMP_CWORD`; the program answers with one completion per line, finished ones with a space.

use crate::args::command::Completions;
use crate::args::parse::Program;
use crate::args::value::Shell;
use crate::commands::print;
use crate::exit::Outcome;
use std::process::ExitCode;

/// Prints the script.
pub(crate) fn run(options: &Completions, program: Program) -> Outcome {
    let script = match options.shell {
        Shell::Bash => BASH,
        Shell::Zsh => ZSH,
        Shell::Fish => FISH,
    };
    print::result(&script.replace("bourn", program.name()))
}

/// Prints the answers to a shell that asked, one per line.
pub(crate) fn answer(answers: &[String]) -> ExitCode {
    let text: String = answers.iter().map(|answer| format!("{answer}\n")).collect();
    match print::result(&text) {
        Ok(status) => ExitCode::from(status),
        Err(_) => ExitCode::FAILURE,
    }
}

const BASH: &str = r#"_bourn_completion() {
    local IFS=$'\n'
    COMPREPLY=($(COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD _BST_COMPLETION=complete "$1" 2>/dev/null))
}
complete -o nospace -F _bourn_completion bourn
"#;

const ZSH: &str = r#"#compdef bourn
_bourn() {
    local -a answers
    answers=("${(@f)$(COMP_WORDS="${(pj:\n:)words}" COMP_CWORD=$((CURRENT - 1)) _BST_COMPLETION=complete "${words[1]}" 2>/dev/null)}")
    local answer
    for answer in "${answers[@]}"; do
        if [[ "$answer" == *' ' ]]; then
            compadd -Q -- "${answer% }"
        elif [[ -n "$answer" ]]; then
            compadd -Q -S '' -- "$answer"
        fi
    done
}
# Read by itself or, as a file of $fpath, run when it is needed first.
if [[ "${funcstack[1]}" == _bourn ]]; then
    _bourn "$@"
else
    compdef _bourn bourn
fi
"#;

const FISH: &str = r#"function __bourn_complete
    set -l before (commandline -opc)
    set -l words (string escape -- $before) (commandline -ct)
    set -l index (count $before)
    set -lx COMP_WORDS (string join \n -- $words)
    set -lx COMP_CWORD $index
    _BST_COMPLETION=complete $before[1] 2>/dev/null | string trim
end
complete -c bourn -f -a '(__bourn_complete)'
"#;
