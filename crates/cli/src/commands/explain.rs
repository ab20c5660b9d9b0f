//! `bourn explain`: why an element would be built.

use crate::args::command::Explain;
use crate::commands::print;
use crate::exit::{Failure, Outcome};
use crate::inputs;
use crate::invocation::Invocation;
use crate::report::style::{CONTENT, DETAIL, Painter};
use crate::watch::Watch;
use crate::world::World;
use bourn_build::cache::Cached;
use bourn_build::cache::metadata::Setting;
use bourn_build::session::{Query, Session};
use bourn_plan::closure::Walk;
use bourn_plan::explain::{Difference, KeyInputs, Subject, Traces};
use bourn_project::ElementId;
use bourn_reapi::ArtifactName;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};

/// How many of the artifacts built before are compared.
const CANDIDATES: usize = 16;

/// Says for each element whether it is cached and, if it is not, what of it changed since it was built before.
pub(crate) fn run(invocation: &Invocation<'_>, options: &Explain) -> Outcome {
    let Some(named) = invocation.elements(&options.elements)? else { return Ok(0) };
    let world = World::load(invocation, &named, &[])?;
    let watch = Watch::new(invocation);
    let session = world.session(invocation, &watch);
    let targets = world.graph().targets.clone();
    invocation.query(&session, &targets, false, Query::Artifacts)?;
    let explainer = Explainer { invocation, world: &world, session: &session, ids: ids(&world) };
    let answers: Vec<Answer> = targets.iter().map(|id| explainer.explain(*id)).collect::<Result<_, _>>()?;
    let text = match options.json {
        true => {
            let list: Vec<Value> = answers.iter().map(Answer::to_json).collect();
            serde_json::to_string_pretty(&list).map_err(|error| Failure::app(error.to_string()))? + "\n"
        }
        false => {
            let painter = Painter { colors: invocation.settings.terminal.colors };
            answers.iter().map(|answer| answer.to_text(painter)).collect()
        }
    };
    invocation.reporter.aside(|| print::result(&text))
}

/// Elements by project and name, as inputs of keys name them.
fn ids(world: &World) -> HashMap<(&str, &str), ElementId> {
    let graph = world.graph();
    let all = graph.elements.iter().enumerate();
    all.map(|(at, element)| ((&*graph.project(element.project).name, &*element.name), ElementId(at as u32)))
        .collect()
}

/// What is said of one element.
struct Answer {
    element: String,
    key: Option<String>,
    verdict: Verdict,
}

enum Verdict {
    /// Its artifact is in the cache, of a success or a failure.
    Cached(bool),
    /// Sources of these elements have no ref.
    NoReference(Vec<String>),
    /// It is a junction.
    Junction,
    /// It was never built here, or nothing is known of that.
    New,
    /// It was built before, of other inputs.
    Changed { before: String, causes: Vec<Cause> },
}

/// What is known of how an artifact was built.
enum Before {
    /// Everything: this program built it.
    Inputs(KeyInputs),
    /// What the artifact says.
    Traces(Traces),
}

impl Before {
    fn differences(&self, newer: &KeyInputs) -> Vec<Difference> {
        match self {
            Before::Inputs(inputs) => inputs.differences(newer),
            Before::Traces(traces) => traces.differences(newer),
        }
    }
}

/// A difference of inputs, and in which element it is.
struct Cause {
    element: String,
    difference: Difference,
    /// For dependencies about which no more is known: why.
    unknown: bool,
}

struct Explainer<'a> {
    invocation: &'a Invocation<'a>,
    world: &'a World,
    session: &'a Session<'a>,
    ids: HashMap<(&'a str, &'a str), ElementId>,
}

impl Explainer<'_> {
    fn explain(&self, id: ElementId) -> Result<Answer, Failure> {
        let plan = &self.world.plan;
        let key =
            self.session.strong_key(id).or_else(|| plan.element(id).strict_key.as_ref().map(Into::into));
        let element = plan.graph.full_name(id);
        let key = key.map(|key| key.0);
        let verdict = match (self.session.artifact(id), KeyInputs::strict(plan, id)) {
            _ if &*plan.graph.element(id).kind == "junction" => Verdict::Junction,
            (Some(artifact), _) if key.is_some() => Verdict::Cached(artifact.is_success()),
            (_, None) => Verdict::NoReference(self.without_reference(id)),
            (_, Some(inputs)) => self.compare(id, &inputs)?,
        };
        Ok(Answer { element, key, verdict })
    }

    /// The elements that keep one from having a key: itself, or any that its key is made of, where a source has no ref.
    fn without_reference(&self, id: ElementId) -> Vec<String> {
        let plan = &self.world.plan;
        let mut walk = Walk::default();
        let mut without = Vec::new();
        let (mut seen, mut todo) = (HashSet::from([id]), vec![id]);
        while let Some(id) = todo.pop() {
            if plan.element(id).sources.iter().any(|source| !source.source.is_resolved()) {
                without.push(plan.graph.full_name(id));
            }
            todo.extend(plan.edges.build(id, &mut walk).iter().filter(|below| seen.insert(**below)));
        }
        without
    }

    /// Compares with the artifact of the element that differs least.
    fn compare(&self, id: ElementId, inputs: &KeyInputs) -> Result<Verdict, Failure> {
        let settings = self.invocation.settings;
        let name = self.session.artifact_name(id, &inputs.key());
        let kept = inputs::of_element(settings, &name);
        let candidates = kept.into_iter().take(CANDIDATES).filter_map(|(key, _)| {
            let old = inputs::recall(settings, &ArtifactName { key: key.clone(), ..name.clone() })?;
            Some((key, Before::Inputs(old)))
        });
        let mut candidates: Vec<(String, Before)> = candidates.collect();
        if candidates.is_empty() {
            candidates = self.cached(&name)?;
        }
        let nearest = candidates.into_iter().min_by_key(|(_, old)| old.differences(inputs).len());
        let Some((before, old)) = nearest else { return Ok(Verdict::New) };
        let mut causes = Vec::new();
        let mut seen = HashSet::new();
        self.causes(id, &old, inputs, &mut seen, &mut causes);
        Ok(Verdict::Changed { before, causes })
    }

    /// What the artifacts of an element in the cache tell, those used last first.
    fn cached(&self, name: &ArtifactName) -> Result<Vec<(String, Before)>, Failure> {
        let names = self.session.services.assets.artifact_names()?;
        let same = names.into_iter().rev().filter(|other| {
            (&other.project, &other.element) == (&name.project, &name.element) && other.key != name.key
        });
        let told = same.filter_map(|name| {
            let (strong, traces) = self.traces(&name)?;
            // Each is there under its weak key as well.
            (strong == name.key).then_some((strong, Before::Traces(traces)))
        });
        Ok(told.take(CANDIDATES).collect())
    }

    /// What an artifact in the cache tells of the inputs of its key, and its strong key.
    fn traces(&self, name: &ArtifactName) -> Option<(String, Traces)> {
        let message = self.session.services.assets.artifact(name).ok()??;
        let dependencies = message.dependencies().ok()?.into_iter();
        let dependencies = dependencies.map(|on| (on.project_name, on.element_name, on.cache_key)).collect();
        let strong = message.strong_key.clone();
        let setting = Setting::read(self.session, &Cached::new(message));
        let environment = setting.map(|setting| setting.environment).unwrap_or_default();
        Some((strong, Traces { dependencies, environment }))
    }

    /// All that is known of how an artifact was built.
    fn before(&self, name: &ArtifactName) -> Option<Before> {
        let inputs = inputs::recall(self.invocation.settings, name).map(Before::Inputs);
        inputs.or_else(|| Some(Before::Traces(self.traces(name)?.1)))
    }

    /// Adds what differs, following dependencies down to where the difference began.
    fn causes(
        &self,
        id: ElementId,
        old: &Before,
        new: &KeyInputs,
        seen: &mut HashSet<ElementId>,
        causes: &mut Vec<Cause>,
    ) {
        if !seen.insert(id) {
            return;
        }
        let element = self.world.graph().full_name(id);
        for difference in old.differences(new) {
            let below = match (&difference.subject, &difference.old, &difference.new) {
                (Subject::Dependency { project, element }, Some(Value::String(key)), Some(_)) => {
                    self.ids.get(&(project.as_str(), element.as_str())).map(|id| (*id, key.clone()))
                }
                _ => None,
            };
            let Some((dependency, key)) = below else {
                causes.push(Cause { element: element.clone(), difference, unknown: false });
                continue;
            };
            if seen.contains(&dependency) {
                continue;
            }
            let name = self.session.artifact_name(dependency, &key);
            match (self.before(&name), KeyInputs::strict(&self.world.plan, dependency)) {
                (Some(before), Some(now)) => self.causes(dependency, &before, &now, seen, causes),
                _ => causes.push(Cause { element: element.clone(), difference, unknown: true }),
            }
        }
    }
}

impl Answer {
    fn to_text(&self, painter: Painter) -> String {
        let name = painter.paint(&self.element, CONTENT.bold());
        let key = painter.paint(self.key.as_deref().unwrap_or("no key yet"), DETAIL);
        match &self.verdict {
            Verdict::Cached(true) => format!("{name} is cached ({key})\n"),
            Verdict::Cached(false) => format!("{name} is cached as a failed build ({key})\n"),
            Verdict::NoReference(without) => {
                let without = without.join(", ");
                format!("{name} has no key: sources without a ref are in {without}\n")
            }
            Verdict::Junction => format!("{name} is a junction, of which nothing is built\n"),
            Verdict::New => {
                format!(
                    "{name} would be built ({key}): this program has not built it before, as far as it remembers\n"
                )
            }
            Verdict::Changed { before, causes } => {
                let mut out =
                    format!("{name} would be built ({key})\n  it was built before ({before}), since then\n");
                for cause in causes {
                    let place = match cause.element == self.element {
                        true => String::new(),
                        false => format!("{}: ", cause.element),
                    };
                    let more = if cause.unknown { " (what changed in it is not known here)" } else { "" };
                    out.push_str(&format!("  - {place}{}{more}\n", cause.difference));
                }
                out
            }
        }
    }

    fn to_json(&self) -> Value {
        let mut value = json!({"element": self.element, "key": self.key});
        let (state, extra) = match &self.verdict {
            Verdict::Cached(true) => ("cached", None),
            Verdict::Cached(false) => ("failed", None),
            Verdict::NoReference(_) => ("no-reference", None),
            Verdict::Junction => ("junction", None),
            Verdict::New => ("new", None),
            Verdict::Changed { before, causes } => {
                let causes: Vec<Value> = causes
                    .iter()
                    .map(|cause| {
                        let mut value = cause.difference.to_json();
                        value["in"] = cause.element.as_str().into();
                        value["unknown"] = cause.unknown.into();
                        value
                    })
                    .collect();
                ("changed", Some((before, causes)))
            }
        };
        value["state"] = state.into();
        if let Verdict::NoReference(without) = &self.verdict {
            value["without-reference"] = without.as_slice().into();
        }
        if let Some((before, causes)) = extra {
            value["before"] = before.as_str().into();
            value["causes"] = causes.into();
        }
        value
    }
}
