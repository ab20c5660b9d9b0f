//! Kind `dpkg_deploy`: Debian packages out of what kind `dpkg_build` built.

use crate::layout::{self, Script};
use crate::package::Version;
use bourn_plan::assembly::{Command, Run, Split, Step};
use bourn_plan::{
    AssemblyError, Compute, Description, ElementContext, ElementKind, Entry, KeyValue, Workbench,
};
use bourn_project::{ElementId, KindTraits};
use bourn_yaml::{Diagnostics, Mapping, Node};
use md5::{Digest as _, Md5};
use regex::Regex;
use std::collections::HashSet;
use std::fmt::{self, Write};
use std::io::Read;
use std::sync::Arc;

/// The kind.
#[derive(Debug)]
pub struct Kind;

/// As of kind `script`.
pub fn traits(version: Version) -> KindTraits {
    crate::script::traits(version)
}

/// Stands for the packages in commands.
const PACKAGES: &str = "<PACKAGES>";

impl ElementKind for Kind {
    fn describe(&self, element: ElementContext<'_>) -> Result<Description, Diagnostics> {
        let config = &element.element().config;
        config.validate_keys(&["build-commands"])?;
        if config.get("build-commands").is_none() {
            let message = "Unexpectedly missing command: 'build-commands'";
            return Err(layout::wrong(element, "", message).at(config.at).into());
        }
        let commands = layout::texts(config.get_str_list("build-commands")?);
        let (layout, input) = layout::with_input(element)?;
        let mut script = Script::new(element, layout, true);
        script.marked.push("/buildstream".into());
        script.add("build-commands", commands.clone());
        let mut description = script.describe(element);
        let mut key = script.unique_key();
        key.retain(|(name, _)| *name != "commands");
        key.push(("unedited-commands", KeyValue::object([("build-commands", layout::list(&commands))])));
        description.unique_key = KeyValue::object(key);

        let build_root = element.variable("build-root").unwrap_or_default().to_owned();
        let assembly = &mut description.assembly;
        if assembly.runs() {
            assembly.stage.push(Step::Compute(Arc::new(Unpack { input, build_root })));
        }
        for step in &mut assembly.assemble {
            if let Step::Run(run) = step {
                *step = Step::Compute(Arc::new(Deploy { input, run: run.clone() }));
            }
        }
        Ok(description)
    }
}

/// The data on packages in the public data of the input.
fn packages(bench: &dyn Workbench, input: ElementId) -> Result<(Node, Vec<String>), AssemblyError> {
    let public = bench.public(input, "bst")?.unwrap_or_else(|| Node::mapping(Mapping::new()));
    let data = public.opt_mapping("dpkg-data").map_err(|wrong| AssemblyError::element(&wrong.message))?;
    let Some(data) = data.and_then(Node::entries) else {
        let name = |id| bench.graph().element(id).name.clone();
        return Err(AssemblyError::element(format!(
            "{}: input element {} does not have any bst.dpkg-data public data",
            name(bench.element()),
            name(input)
        )));
    };
    let names = data.keys().map(|name| name.to_string()).collect();
    Ok((public, names))
}

/// Makes a directory per package out of the input's files, with the control files that its public data keep.
#[derive(Debug)]
struct Unpack {
    input: ElementId,
    build_root: String,
}

impl Compute for Unpack {
    fn compute(&self, bench: &mut dyn Workbench) -> Result<(), AssemblyError> {
        let (public, names) = packages(bench, self.input)?;
        for package in names {
            self.package(bench, &public, &package)?;
        }
        Ok(())
    }
}

impl Unpack {
    fn package(&self, bench: &mut dyn Workbench, public: &Node, package: &str) -> Result<(), AssemblyError> {
        let element = |id| bench.graph().element(id).name.clone();
        let (own, input) = (element(bench.element()), element(self.input));
        let within = |section: &str| public.get(section).and_then(|section| section.get(package));
        if within("split-rules").is_none() {
            let message = format!("{own}: Input element {input} does not have bst.split-rules.{package}");
            return Err(AssemblyError::element(message));
        }
        let data = within("dpkg-data").cloned().unwrap_or_else(Node::null);
        let text = |node: &Node, key: &str| -> Result<Option<String>, AssemblyError> {
            let text = node.opt_str(key).map_err(|wrong| AssemblyError::element(&wrong.message))?;
            Ok(text.map(str::to_owned))
        };
        let name =
            text(&data, "name")?.unwrap_or_else(|| format!("{}-{package}", layout::normal_name(&input)));
        let split = Split { include: vec![package.to_owned()], ..Split::ALL };
        let files = bench.manifest(self.input, &split)?;
        let directory = layout::join(&self.build_root, package);
        bench.create_directory(&directory)?;
        let wanted: HashSet<&str> = files.iter().map(String::as_str).collect();
        bench.import(&self.build_root, &directory, Some(&|path| wanted.contains(path)))?;

        let control = text(&data, "control")?.ok_or_else(|| {
            AssemblyError::element(format!("{own}: Cannot reconstitute package {package}"))
                .detail(format!("There is no public.bst.dpkg-data.{package}.control"))
        })?;
        let control = format!("{}\n", renamed(&control, &name)?);
        let debian = layout::join(&directory, "DEBIAN");
        let file = |name: &str| layout::join(&debian, name);
        bench.write(&file("control"), false, &mut |file| file.write_all(control.as_bytes()))?;
        let sums = checksums(bench, &self.build_root, &files)?;
        bench.write(&file("md5sums"), false, &mut |file| file.write_all(sums.as_bytes()))?;
        // bst looks for the scripts beside the packages, not within this one's.
        if let Some(scripts) = public.get("package-scripts").filter(|scripts| scripts.get(package).is_some())
        {
            for script in ["postinst", "preinst", "postrm", "prerm"] {
                if let Some(content) = text(scripts, script)?.filter(|content| !content.is_empty()) {
                    bench.write(&file(script), true, &mut |file| file.write_all(content.as_bytes()))?;
                }
            }
        }
        Ok(())
    }
}

/// The control file with another package name.
fn renamed(control: &str, name: &str) -> Result<String, AssemblyError> {
    let pattern = Regex::new(r"^Package:\s*\S+").map_err(|error| AssemblyError::world(error.to_string()))?;
    Ok(pattern.replace(control, regex::NoExpand(&format!("Package: {name}"))).into_owned())
}

/// A line per regular file, as `md5sum` writes them.
fn checksums(bench: &dyn Workbench, root: &str, files: &[String]) -> Result<String, AssemblyError> {
    let mut sums = String::new();
    let mut buffer = vec![0; 64 * 1024];
    for file in files {
        let path = layout::join(root, file);
        if !matches!(bench.entry(&path)?, Some(Entry::File { .. })) {
            continue;
        }
        let mut content = bench.open(&path)?;
        let mut sum = Md5::new();
        loop {
            let read = content.read(&mut buffer);
            match read.map_err(|error| AssemblyError::world(format!("{path}: {error}")))? {
                0 => break,
                length => sum.update(&buffer[..length]),
            }
        }
        for byte in sum.finalize() {
            let _ = write!(sums, "{byte:02x}");
        }
        let _ = writeln!(sums, "  {file}");
    }
    Ok(sums)
}

/// Runs the commands for the packages of the input.
struct Deploy {
    input: ElementId,
    run: Run,
}

impl fmt::Debug for Deploy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Deploy {{ input: {:?}, ", self.input)?;
        layout::debug_run(f, &self.run)
    }
}

impl Compute for Deploy {
    fn compute(&self, bench: &mut dyn Workbench) -> Result<(), AssemblyError> {
        let (_, names) = packages(bench, self.input)?;
        let names = names.join(" ");
        let mut run = self.run.clone();
        for command in run.groups.iter_mut().flat_map(|group| &mut group.commands) {
            if let Command::Shell(text) = command {
                *text = text.replace(PACKAGES, &names).into();
            }
        }
        bench.run(&run)
    }
}
