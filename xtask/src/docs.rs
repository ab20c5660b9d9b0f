//! The documentation as a site: the guide, the manuals of all kinds, the help of all commands, the manual pages.
//!
//! Everything is made anew, below `target/xtask/docs`. A link that leads nowhere is an error.

use crate::shell::{Outcome, capture, cargo, root, run, scratch, write};
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, html};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// How a page looks: one column beside the list of pages, on a screen of any width.
const STYLE: &str = "\
body{margin:0;display:flex;flex-wrap:wrap;font:16px/1.5 system-ui,sans-serif;color:#222;background:#fff}\
nav{flex:0 0 15em;padding:1em 1.5em;background:#f4f4f1;font-size:.9em}nav a{display:block}\
main{flex:1 1 30em;max-width:50em;padding:1em 2em;min-width:0}a{color:#05c}\
pre,code{font:14px/1.4 ui-monospace,monospace;background:#f4f4f1}pre{padding:.7em 1em;overflow-x:auto}\
table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.2em .6em;text-align:left;vertical-align:top}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#1b1b1b}nav,pre,code{background:#262626}a{color:#7bf}}";

/// The pages by the name of their file, without the ending.
type Pages = BTreeMap<String, String>;

/// Makes the site and prints where it is.
///
/// # Errors
/// The program cannot be built or run, a page cannot be read, or a link leads nowhere.
pub(crate) fn run_chore() -> Outcome {
    let site = scratch("docs");
    if site.exists() {
        std::fs::remove_dir_all(&site).map_err(|error| format!("{}: {error}", site.display()))?;
    }
    run(Command::new(cargo()).current_dir(root()).args(["build", "--package", "bourn-cli"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    let program = target.join("debug/bourn");
    let mut pages = guide()?;
    pages.insert("kinds-elements".into(), kinds("elements", "Kinds of elements")?);
    pages.insert("kinds-sources".into(), kinds("sources", "Kinds of sources")?);
    let mut commands = String::from("# Commands\n");
    help(&program, &mut Vec::new(), &mut commands)?;
    pages.insert("commands".into(), commands);
    let names: BTreeSet<&String> = pages.keys().collect();
    let mut broken = Vec::new();
    for (name, text) in &pages {
        broken.extend(broken_links(name, text, &names));
        write(&site.join(format!("{name}.html")), &page(name, text, &pages))?;
    }
    if !broken.is_empty() {
        return Err(format!("links that lead nowhere:\n  {}", broken.join("\n  ")));
    }
    capture(Command::new(&program).arg("manual").arg(site.join("man/man1")))?;
    println!("{}", site.join("index.html").display());
    Ok(())
}

/// The pages that people wrote; `README.md` is the first.
fn guide() -> Outcome<Pages> {
    let directory = root().join("docs");
    let mut pages = Pages::new();
    for path in files(&directory)? {
        let Some(name) = path.strip_suffix(".md") else { continue };
        let text = read(&directory.join(&path))?;
        pages.insert(if name == "README" { "index".to_owned() } else { name.to_owned() }, text);
    }
    let links = "\n- [Kinds of elements](kinds-elements.md), [kinds of sources](kinds-sources.md), \
                 [commands](commands.md).\n";
    pages.entry("index".to_owned()).or_default().push_str(links);
    Ok(pages)
}

/// The manuals of all kinds of a crate, one below the other.
fn kinds(room: &str, title: &str) -> Outcome<String> {
    let directory = root().join("crates").join(room).join("src");
    let mut text = format!("# {title}\n");
    for name in files(&directory)? {
        let manual = directory.join(name).join("README.md");
        if manual.is_file() {
            // The page has a title already, so that every heading of a manual is one below.
            for line in read(&manual)?.lines() {
                let below = if line.starts_with('#') { "#" } else { "" };
                text.push_str(&format!("{below}{line}\n"));
            }
            text.push('\n');
        }
    }
    Ok(text)
}

/// The help of a command and of all below it.
fn help(program: &Path, words: &mut Vec<String>, text: &mut String) -> Outcome {
    let printed = capture(Command::new(program).args(&*words).arg("--help").env("COLUMNS", "100"))?;
    let name: String = words.iter().map(|word| format!(" {word}")).collect();
    text.push_str(&format!("\n## bourn{name}\n\n```\n{}\n```\n", printed.trim_end()));
    let listed = printed.lines().skip_while(|line| *line != "Commands:").skip(1);
    let below: Vec<String> = listed
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .filter(|command| command != "help")
        .collect();
    for command in below {
        words.push(command);
        help(program, words, text)?;
        words.pop();
    }
    Ok(())
}

/// A page as HTML, with the list of all.
fn page(name: &str, text: &str, pages: &Pages) -> String {
    let list: String =
        pages.iter().map(|(other, text)| format!("<a href=\"{other}.html\">{}</a>\n", title(text))).collect();
    let events = Parser::new_ext(text, Options::ENABLE_TABLES).map(|event| match event {
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            Event::Start(Tag::Link { link_type, dest_url: on_site(&dest_url), title, id })
        }
        event => event,
    });
    let mut body = String::new();
    html::push_html(&mut body, events);
    let title = if name == "index" { "bourn".to_owned() } else { format!("{} - bourn", title(text)) };
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head>\n\
         <body><nav>{list}</nav>\n<main>{body}</main></body></html>\n"
    )
}

/// The first heading.
fn title(text: &str) -> String {
    let heading = text.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or_default();
    heading.replace('&', "&amp;").replace('<', "&lt;")
}

/// Where a link to a page leads on the site.
fn on_site(link: &str) -> CowStr<'static> {
    let (path, place) = link.split_once('#').unwrap_or((link, ""));
    let place = if place.is_empty() { String::new() } else { format!("#{place}") };
    match path.strip_suffix(".md").filter(|_| !path.contains("://")) {
        Some("README") => format!("index.html{place}").into(),
        Some(page) => format!("{page}.html{place}").into(),
        None => link.to_owned().into(),
    }
}

/// Links of a page to other pages that are not there.
fn broken_links(name: &str, text: &str, names: &BTreeSet<&String>) -> Vec<String> {
    let links = Parser::new_ext(text, Options::ENABLE_TABLES).filter_map(|event| match event {
        Event::Start(Tag::Link { dest_url, .. }) => Some(on_site(&dest_url)),
        _ => None,
    });
    let elsewhere = |link: &str| link.contains("://") || link.starts_with('#');
    links
        .filter(|link| !elsewhere(link))
        .filter(|link| {
            let page = link.split('#').next().and_then(|path| path.strip_suffix(".html"));
            page.is_none_or(|page| !names.contains(&page.to_owned()))
        })
        .map(|link| format!("{name}: {link}"))
        .collect()
}

fn read(path: &Path) -> Outcome<String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The names in a directory, sorted.
fn files(directory: &Path) -> Outcome<Vec<String>> {
    let entries =
        std::fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_pages() {
        let pages: Pages = [
            ("index", "# Guide\n[a](a.md)"),
            ("a", "# A < B\n[b](b.md#x) [c](README.md) [d](https://x/y.md)"),
        ]
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .into();
        let names = pages.keys().collect();
        assert_eq!(broken_links("a", &pages["a"], &names), ["a: b.html#x"]);
        assert!(broken_links("index", &pages["index"], &names).is_empty());
        let page = page("a", &pages["a"], &pages);
        assert!(page.contains("<a href=\"index.html\">c</a>") && page.contains("https://x/y.md"), "{page}");
        assert!(page.contains("<title>A &lt; B - bourn</title>"), "{page}");
    }

    #[test]
    fn the_guide_has_no_broken_links() {
        let pages = guide().expect("the guide");
        let made = ["kinds-elements", "kinds-sources", "commands"].map(str::to_owned);
        let names: BTreeSet<&String> = pages.keys().chain(&made).collect();
        let broken: Vec<String> =
            pages.iter().flat_map(|(name, text)| broken_links(name, text, &names)).collect();
        assert!(broken.is_empty() && pages.len() > 8, "{broken:?}");
    }
}
