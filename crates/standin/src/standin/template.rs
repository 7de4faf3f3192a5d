//! Templates merged with their parents (TarsFramework `RegistryServer/DbHandle.cpp`,
//! `getProfileTemplate`).

use super::conf::Section;
use crate::store::TemplateRow;

/// The template `name` merged with its parents, and what became of each of them. A template that is
/// not there, or cannot be read, is empty.
pub(super) fn merged(rows: &[TemplateRow], name: &str) -> (Section, String) {
    let mut seen = Vec::new();
    let mut words = String::new();
    let section = merge(rows, name, &mut seen, &mut words);
    (section, words)
}

fn merge(rows: &[TemplateRow], name: &str, seen: &mut Vec<String>, words: &mut String) -> Section {
    let Some(row) = rows.iter().find(|row| row.template_name == name) else {
        words.push_str(&format!("({name}:template not found)"));
        return Section::default();
    };
    // A template is no ancestor of itself, though tables say so of tars.default.
    seen.push(name.to_owned());
    let mut section = match Section::parse(&row.profile) {
        Ok(section) => section,
        Err(why) => {
            words.push_str(&format!("({name}:{why})"));
            return Section::default();
        }
    };
    let parent = &row.parents_name;
    if !parent.is_empty() && !seen.contains(parent) {
        section.join(&merge(rows, parent, seen, words), false);
    }
    words.push_str(&format!("({name}:OK)"));
    section
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_win_and_circles_end() {
        let row = |name: &str, parent: &str, profile: &str| TemplateRow {
            template_name: name.into(),
            parents_name: parent.into(),
            profile: profile.into(),
            ..TemplateRow::default()
        };
        let rows = [
            row("a", "b", "<tars>\nx=1\n</tars>\n"),
            row("b", "a", "<tars>\nx=2\ny=2\n</tars>\n"),
        ];
        let (section, words) = merged(&rows, "a");
        assert_eq!(section.render_in_order(), "<tars>\n  x=1\n  y=2\n</tars>\n");
        assert_eq!(words, "(b:OK)(a:OK)");
        assert_eq!(merged(&rows, "c").1, "(c:template not found)");
    }
}
