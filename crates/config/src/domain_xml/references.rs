//! `${…}` in the value of an option, resolved as Payara does, as far as that can be done outside of it.
//! <https://docs.payara.fish/community/docs/Technical%20Documentation/Payara%20Server%20Documentation/General%20Administration/Configuration%20Variables%20Reference.html>

use std::collections::BTreeMap;

use crate::ProcessContext;

/// Properties may refer to each other, also in a circle.
const DEPTH: u32 = 8;

/// What references can mean here.
pub(super) struct Resolver<'a> {
    pub(super) process: &'a ProcessContext,
    pub(super) properties: &'a BTreeMap<String, String>,
    pub(super) instance_root: Option<String>,
}

impl Resolver<'_> {
    /// The value without references, or why there is none: completes "the option …".
    pub(super) fn resolve(&self, value: &str) -> Result<String, String> {
        self.resolve_within(value, DEPTH)
    }

    fn resolve_within(&self, value: &str, depth: u32) -> Result<String, String> {
        let mut resolved = String::new();
        let mut rest = value;
        while let Some((before, behind)) = rest.split_once("${") {
            let Some((reference, behind)) = behind.split_once('}') else { break };
            if depth == 0 {
                return Err(format!("refers to ${{{reference}}}, which refers to itself"));
            }
            resolved.push_str(before);
            resolved.push_str(&self.meaning(reference.trim(), depth)?);
            rest = behind;
        }
        resolved.push_str(rest);
        Ok(resolved)
    }

    fn meaning(&self, reference: &str, depth: u32) -> Result<String, String> {
        match reference.split_once('=') {
            Some(("ALIAS", name)) => Err(format!("is the password alias {name}, which only Payara can resolve")),
            Some(("ENV", name)) => self.or_default(name, |it| self.process.variable(it)).ok_or_else(|| {
                let name = without_default(name);
                format!("is taken from the environment variable {name}, which is not set here")
            }),
            Some(("MPCONFIG", name)) => self.or_default(name, |it| self.microprofile(it, depth)).ok_or_else(|| {
                let name = without_default(name);
                let variable = name.replace(|it: char| !it.is_ascii_alphanumeric(), "_").to_uppercase();
                format!("is taken from MicroProfile's {name}, and {variable} is not set in the environment here")
            }),
            _ => self.property(reference, depth),
        }
    }

    /// A reference may be written `name:default`: the default is its value where nothing is found under the name.
    fn or_default(&self, name: &str, find: impl Fn(&str) -> Option<String>) -> Option<String> {
        let default = name.split_once(':').map(|it| it.1.to_owned());
        find(without_default(name)).or(default)
    }

    /// System properties go first (ordinal 400), then the environment (300), in three spellings.
    /// <https://download.eclipse.org/microprofile/microprofile-config-3.1/microprofile-config-spec-3.1.html>
    fn microprofile(&self, name: &str, depth: u32) -> Option<String> {
        if let Some(value) = self.properties.get(name).and_then(|it| self.resolve_within(it, depth - 1).ok()) {
            return Some(value);
        }
        let underscored = name.replace(|it: char| !it.is_ascii_alphanumeric(), "_");
        let upper = underscored.to_uppercase();
        [name, &underscored, &upper].into_iter().find_map(|it| self.process.variable(it))
    }

    fn property(&self, name: &str, depth: u32) -> Result<String, String> {
        match (name, &self.instance_root, self.properties.get(name)) {
            (_, _, Some(value)) => self.resolve_within(value, depth - 1),
            ("com.sun.aas.instanceRoot", Some(root), None) => Ok(root.clone()),
            _ => Err(format!("refers to the system property {name}, which only Payara knows")),
        }
    }
}

fn without_default(name: &str) -> &str {
    name.split_once(':').map_or(name, |it| it.0)
}
