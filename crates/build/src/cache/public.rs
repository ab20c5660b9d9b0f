//! Public data of an artifact: what its dependents use of it.

use crate::error::{BuildError, BuildResult, domain};
use crate::split::{Globs, SplitRules};
use bourn_yaml::{Diagnostic, Node};
use std::sync::OnceLock;

/// Public data as it was when an element was built; what is computed of it is computed once.
#[derive(Debug)]
pub struct Public {
    node: Node,
    rules: OnceLock<SplitRules>,
    whitelist: OnceLock<Globs>,
}

impl Public {
    /// Public data of that content, a mapping of domains.
    pub fn new(node: Node) -> Public {
        Public { node, rules: OnceLock::new(), whitelist: OnceLock::new() }
    }

    /// Reads the blob of an artifact.
    ///
    /// # Errors
    /// It is no YAML.
    pub fn read(blob: &[u8]) -> BuildResult<Public> {
        let text = String::from_utf8_lossy(blob);
        let node = bourn_yaml::parse::parse_text(&text, None).map_err(|diagnostics| {
            BuildError::new(domain::ARTIFACT, "The public data of an artifact cannot be read")
                .detail(diagnostics.to_string())
        })?;
        Ok(Public::new(node))
    }

    /// All domains.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// A domain, if it is there.
    pub fn domain(&self, name: &str) -> Option<&Node> {
        self.node.get(name)
    }

    /// The commands that integrate its files into a system.
    ///
    /// # Errors
    /// They are no list of texts.
    pub fn integration_commands(&self) -> BuildResult<Vec<&str>> {
        let Some(bst) = self.domain("bst") else { return Ok(Vec::new()) };
        Ok(bst.opt_str_list("integration-commands").map_err(malformed)?.unwrap_or_default())
    }

    /// Those of the integration commands that do not matter to builds: `public.bourn.run-time-integration-commands`,
    /// which bst does not know of.
    ///
    /// # Errors
    /// They are no list of texts.
    pub fn run_time_integration_commands(&self) -> BuildResult<Vec<&str>> {
        let Some(own) = self.domain("bourn") else { return Ok(Vec::new()) };
        Ok(own.opt_str_list("run-time-integration-commands").map_err(malformed)?.unwrap_or_default())
    }

    /// The split rules.
    ///
    /// # Errors
    /// They are malformed.
    pub fn split_rules(&self) -> BuildResult<&SplitRules> {
        if let Some(rules) = self.rules.get() {
            return Ok(rules);
        }
        let rules = SplitRules::read(self.domain("bst").and_then(|bst| bst.get("split-rules")))?;
        Ok(self.rules.get_or_init(|| rules))
    }

    /// Whether a path, absolute, may replace a file of another element without a warning.
    ///
    /// # Errors
    /// The whitelist is malformed.
    pub fn may_overlap(&self, path: &str) -> BuildResult<bool> {
        if let Some(whitelist) = self.whitelist.get() {
            return Ok(whitelist.matches(path));
        }
        let list = match self.domain("bst") {
            Some(bst) => bst.opt_str_list("overlap-whitelist").map_err(malformed)?.unwrap_or_default(),
            None => Vec::new(),
        };
        let whitelist = Globs::new(list.into_iter())?;
        Ok(self.whitelist.get_or_init(|| whitelist).matches(path))
    }
}

fn malformed(diagnostic: Diagnostic) -> BuildError {
    BuildError::new(domain::LOAD, format!("Public data is malformed: {}", diagnostic.message))
        .reason(diagnostic.code)
}
