//! Names of machines.

use bourn_yaml::nearest;

/// What machines call themselves and what bst calls them.
const ARCHITECTURES: [(&str, &str); 31] = [
    ("aarch32", "aarch32"),
    ("aarch64", "aarch64"),
    ("aarch64-be", "aarch64-be"),
    ("amd64", "x86-64"),
    ("arm", "aarch32"),
    ("armv8b", "aarch64-be"),
    ("armv8l", "aarch64"),
    ("i386", "x86-32"),
    ("i486", "x86-32"),
    ("i586", "x86-32"),
    ("i686", "x86-32"),
    ("la64v100", "la64v100"),
    ("loong64", "la64v100"),
    ("loongarch64", "la64v100"),
    ("power-isa-be", "power-isa-be"),
    ("power-isa-le", "power-isa-le"),
    ("powerpc", "power-isa-be"),
    ("powerpc64", "power-isa-be"),
    ("powerpc64le", "power-isa-le"),
    ("ppc64", "power-isa-be"),
    ("ppc64le", "power-isa-le"),
    ("riscv32", "rv32g"),
    ("riscv64", "rv64g"),
    ("rv32g", "rv32g"),
    ("rv64g", "rv64g"),
    ("sparc", "sparc-v9"),
    ("sparc-v9", "sparc-v9"),
    ("sparc64", "sparc-v9"),
    ("sun4v", "sparc-v9"),
    ("x86-32", "x86-32"),
    ("x86-64", "x86-64"),
];

/// bst's name of an architecture, as it enters keys; `None` for one it does not know.
pub fn canonical_arch(name: &str) -> Option<&'static str> {
    let name = name.replace('_', "-").to_lowercase();
    ARCHITECTURES.iter().find(|(alias, _)| *alias == name).map(|(_, canonical)| *canonical)
}

/// The architecture that was probably meant.
pub(crate) fn nearest_arch(name: &str) -> Option<&'static str> {
    nearest::to(name, ARCHITECTURES.iter().map(|(alias, _)| *alias))
}

/// bst's name of an operating system, as it enters keys.
pub fn canonical_os(name: &str) -> String {
    let name = name.to_lowercase();
    if name == "darwin" { "macos".to_owned() } else { name }
}
