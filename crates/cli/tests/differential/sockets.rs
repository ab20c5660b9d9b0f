//! The services for build tools in a sandbox: `remote-apis-socket`.

use crate::Both;

/// The second element has the socket where a sandbox has no directory of its own, in a root that is captured whole.
const PROJECT: &str = "
=== project.conf
name: shared
min-version: 2.6
=== base.bst
kind: import
sources:
- kind: local
  path: files/base
=== tool.bst
kind: manual
build-depends: [base.bst]
sandbox:
  remote-apis-socket:
    path: /tmp/apis.sock
    action-cache-enable-update: true
config:
  install-commands:
  - test -S /tmp/apis.sock
  - mkdir -p %{install-root}/etc
  - echo there > %{install-root}/etc/socket
=== integrated.bst
kind: import
depends: [base.bst, tool.bst]
sources:
- kind: local
  path: files/more
public:
  bst:
    integration-commands:
    - test -S /run/apis.sock
    - echo done > /etc/integrated
=== files/more/run/more
more
=== whole.bst
kind: compose
build-depends: [integrated.bst]
sandbox:
  remote-apis-socket:
    path: /run/apis.sock
";

#[test]
fn tools_find_the_services_and_leave_no_trace() {
    let Some(both) = Both::new(PROJECT).map(Both::with_shell) else { return };
    let format = ["show", "--deps", "all", "--format", "%{name} %{full-key} %{state} %{artifact-cas-digest}"];
    let show = [&format[..], &["tool.bst", "whole.bst"]].concat();
    both.bst(&["build", "tool.bst", "whole.bst"]).success();
    let theirs = both.bst(&show).success().stdout;
    let names = ["tool.bst", "integrated.bst", "whole.bst", "base.bst"];
    both.bourn(&[&["artifact", "delete"][..], &names].concat()).success();
    std::fs::remove_dir_all(both.bourn.cache().join("bourn")).ok();
    both.bourn(&["build", "tool.bst", "whole.bst"]).success();
    assert_eq!(both.bourn(&show).success().stdout, theirs, "bourn (left) and bst (right)");
    let entered = both.bourn(&["shell", "--build", "tool.bst", "--", "sh", "-c", "test -S /tmp/apis.sock"]);
    entered.success();
}
