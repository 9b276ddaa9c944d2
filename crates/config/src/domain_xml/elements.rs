//! The elements of `domain.xml` that matter: JVM options and system properties.

use std::collections::BTreeMap;

use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};

/// The configuration of the server that Dataverse runs in, unless somebody gave it another name.
const SERVER_CONFIG: &str = "server-config";

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct Domain {
    /// Each `<config>`, that of the server first.
    pub(super) configs: Vec<Config>,
    /// What `${name}` can mean.
    pub(super) properties: BTreeMap<String, String>,
}

/// One `<config>` of Payara: the settings of a server that refers to it by its name.
#[derive(Debug, Default)]
pub(super) struct Config {
    pub(super) name: String,
    /// `-Dname=value`, in the file's order.
    pub(super) options: Vec<(String, String)>,
}

/// Where it is broken, in bytes, and how.
type BrokenAt = (usize, String);

pub(super) fn read(bytes: &[u8]) -> Result<Domain, BrokenAt> {
    let text = std::str::from_utf8(bytes).map_err(|it| (it.valid_up_to(), "it is not UTF-8".to_owned()))?;
    let mut reader = Reader::from_str(text);
    let mut walk = Walk::default();
    loop {
        let event = reader.read_event();
        let at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let event = event.map_err(|error| {
            let at = usize::try_from(reader.error_position()).unwrap_or(at);
            (at, format!("it is not well-formed XML ({error})"))
        })?;
        if matches!(event, Event::Eof) {
            return walk.finish().map_err(|it| (at, it));
        }
        walk.event(&event).map_err(|it| (at, it))?;
    }
}

/// What was seen so far.
#[derive(Debug, Default)]
struct Walk {
    domain: Domain,
    open: Vec<String>,
    /// The text of the option that is being read.
    option: Option<String>,
    seen_root: bool,
}

impl Walk {
    fn event(&mut self, event: &Event<'_>) -> Result<(), String> {
        match event {
            Event::Start(element) => self.start(element),
            Event::Empty(element) => {
                self.start(element)?;
                self.end();
                Ok(())
            }
            Event::End(_) => {
                self.end();
                Ok(())
            }
            Event::Text(text) => self.text(&text.xml10_content().map_err(|it| it.to_string())?),
            Event::CData(text) => self.text(&text.xml10_content().map_err(|it| it.to_string())?),
            Event::GeneralRef(reference) => {
                let meant = entity(reference)?;
                self.text(&meant)
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::Eof => Ok(()),
        }
    }

    fn start(&mut self, element: &BytesStart<'_>) -> Result<(), String> {
        let name = String::from_utf8_lossy(element.name().as_ref()).into_owned();
        if self.open.is_empty() {
            if name != "domain" || self.seen_root {
                return Err(format!("it begins with <{name}> and not with <domain>"));
            }
            self.seen_root = true;
        }
        match name.as_str() {
            "config" => {
                let name = attribute(element, "name")?.unwrap_or_default();
                self.domain.configs.push(Config { name, options: Vec::new() });
            }
            "jvm-options" => self.option = Some(String::new()),
            "system-property" => {
                if let (Some(name), Some(value)) = (attribute(element, "name")?, attribute(element, "value")?) {
                    self.domain.properties.insert(name, value);
                }
            }
            _ => {}
        }
        self.open.push(name);
        Ok(())
    }

    fn end(&mut self) {
        self.open.pop();
        let Some(text) = self.option.take() else { return };
        let (Some((name, value)), Some(config)) = (definition(&text), self.domain.configs.last_mut()) else { return };
        config.options.push((name.to_owned(), value.to_owned()));
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        if let Some(option) = &mut self.option {
            option.push_str(text);
        }
        if self.open.is_empty() && !text.trim().is_empty() {
            return Err("it holds text outside of all elements".to_owned());
        }
        Ok(())
    }

    fn finish(self) -> Result<Domain, String> {
        if let Some(open) = self.open.last() {
            return Err(format!("it ends within <{open}>"));
        }
        if !self.seen_root {
            return Err("it is empty".to_owned());
        }
        let mut domain = self.domain;
        domain.configs.sort_by_key(|it| it.name != SERVER_CONFIG);
        for (name, value) in domain.configs.iter().rev().flat_map(|it| &it.options) {
            domain.properties.insert(name.clone(), value.clone());
        }
        Ok(domain)
    }
}

/// `-Dname=value`, with the range of JVM versions that Payara allows in front: `[11|17]-D…`.
fn definition(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let text = if text.starts_with('[') { text.split_once(']').map_or(text, |it| it.1) } else { text };
    text.strip_prefix("-D")?.split_once('=').map(|(name, value)| (name.trim(), value.trim()))
}

fn entity(reference: &BytesRef<'_>) -> Result<String, String> {
    if let Some(character) = reference.resolve_char_ref().map_err(|it| it.to_string())? {
        return Ok(character.to_string());
    }
    let name = reference.decode().map_err(|it| it.to_string())?;
    let meant = quick_xml::escape::resolve_predefined_entity(&name);
    meant.map(str::to_owned).ok_or_else(|| format!("it uses the entity &{name};, which is not defined"))
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Result<Option<String>, String> {
    let Some(found) = element.try_get_attribute(name).map_err(|it| it.to_string())? else { return Ok(None) };
    let value = found.normalized_value(quick_xml::XmlVersion::Implicit1_0).map_err(|it| it.to_string())?;
    Ok(Some(value.into_owned()))
}
