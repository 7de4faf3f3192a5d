//! The models of the console, read as text: which columns a release has of which table.
//!
//! A model is a call `define('name', { column: {…}, … }, { tableName: '…', timestamps: false })`. The
//! JavaScript is never evaluated. What has another form is refused, so that no column is believed to be
//! there that the console would drop.

use std::collections::BTreeSet;

/// A table and its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// The table.
    pub table: String,
    /// The columns that the console has of it.
    pub columns: BTreeSet<String>,
}

/// What of a model is not understood, in one clause.
type Why = &'static str;

/// One word of the text. Everything that cannot matter is [`Token::Other`].
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Mark(char),
    Other,
}

/// Takes the text apart. Comments are left out.
fn tokens(text: &str) -> Result<Vec<Token>, Why> {
    let mut all = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            '/' if chars.peek() == Some(&'/') => while chars.next().is_some_and(|c| c != '\n') {},
            '/' if chars.peek() == Some(&'*') => {
                chars.next();
                let mut last = ' ';
                loop {
                    match chars.next() {
                        Some('/') if last == '*' => break,
                        Some(c) => last = c,
                        None => return Err("a comment has no end"),
                    }
                }
            }
            // It may be a regular expression, in which everything may stand.
            '/' => return Err("it has a slash outside of texts and comments"),
            '\'' | '"' | '`' => {
                let mut text = String::new();
                loop {
                    match chars.next() {
                        Some(end) if end == c => break,
                        Some('\\') => text.extend(chars.next()),
                        Some('$') if c == '`' && chars.peek() == Some(&'{') => {
                            return Err("it has a text with a value in it");
                        }
                        Some(c) => text.push(c),
                        None => return Err("a text has no end"),
                    }
                }
                all.push(Token::Text(text));
            }
            '{' | '}' | '(' | ')' | '[' | ']' | ',' | ':' => all.push(Token::Mark(c)),
            c if c.is_alphanumeric() || c == '_' || c == '$' => {
                let mut word = String::from(c);
                let more = |c: &char| c.is_alphanumeric() || *c == '_' || *c == '$';
                while let Some(c) = chars.next_if(more) {
                    word.push(c);
                }
                all.push(Token::Word(word));
            }
            _ => all.push(Token::Other),
        }
    }
    Ok(all)
}

/// Reads tokens one after the other.
struct Reader<'t>(std::slice::Iter<'t, Token>);

/// A property of an object: its name, and the tokens of its value.
type Property<'t> = (String, &'t [Token]);

impl<'t> Reader<'t> {
    fn mark(&mut self, mark: char, why: Why) -> Result<(), Why> {
        match self.0.next() {
            Some(Token::Mark(c)) if *c == mark => Ok(()),
            _ => Err(why),
        }
    }

    /// The properties of an object whose bracket comes now.
    fn object(&mut self) -> Result<Vec<Property<'t>>, Why> {
        self.mark('{', "no object stands where one should")?;
        let mut all = Vec::new();
        loop {
            let name = match self.0.next() {
                Some(Token::Word(name) | Token::Text(name)) => name.clone(),
                Some(Token::Mark('}')) => return Ok(all),
                _ => return Err("a property has no plain name"),
            };
            // `{ sequelize }` is short for `{ sequelize: sequelize }`.
            if let Some(Token::Mark(mark @ (',' | '}'))) = self.0.as_slice().first() {
                if *mark == ',' {
                    self.0.next();
                }
                all.push((name, &[]));
                continue;
            }
            self.mark(':', "a property has no value of its own")?;
            let value = self.0.as_slice();
            let mut depth = 0_u32;
            let mut count = 0;
            loop {
                match self.0.as_slice().first() {
                    Some(Token::Mark('{' | '(' | '[')) => depth += 1,
                    Some(Token::Mark(',' | '}')) if depth == 0 => break,
                    Some(Token::Mark('}' | ')' | ']')) => {
                        depth = depth.checked_sub(1).ok_or("its brackets do not match")?;
                    }
                    Some(_) => {}
                    None => return Err("an object has no end"),
                }
                self.0.next();
                count += 1;
            }
            all.push((name, value.get(..count).unwrap_or_default()));
            if self.0.as_slice().first() == Some(&Token::Mark(',')) {
                self.0.next();
            }
        }
    }
}

/// The text that a property has, where it has nothing else.
fn text_of<'t>(properties: &[Property<'t>], name: &str) -> Option<&'t str> {
    properties.iter().find_map(|(n, value)| match value {
        [Token::Text(text)] if n == name => Some(text.as_str()),
        _ => None,
    })
}

/// Reads one file of models.
///
/// # Errors
/// What of it is not understood, in one clause.
pub fn model(text: &str) -> Result<Model, Why> {
    let tokens = tokens(text)?;
    let is_define = |t: &Token| matches!(t, Token::Word(word) if word == "define");
    let at = tokens.iter().position(is_define);
    let at = at.ok_or("it defines no table")?;
    if tokens.iter().filter(|t| is_define(t)).count() > 1 {
        return Err("it defines several tables");
    }
    let rest = tokens.get(at + 1..).unwrap_or_default();
    let mut reader = Reader(rest.iter());
    reader.mark('(', "`define` is not called")?;
    let Some(Token::Text(_)) = reader.0.next() else {
        return Err("the model has no name");
    };
    reader.mark(',', "the model has no columns")?;
    let mut columns = BTreeSet::new();
    for (name, value) in reader.object()? {
        if value.is_empty() {
            return Err("a column is described elsewhere");
        }
        // A column may have another name in the table.
        let inner = Reader(value.iter()).object().unwrap_or_default();
        let field = text_of(&inner, "field").map(str::to_owned);
        if field.is_none() && inner.iter().any(|(n, _)| n == "field") {
            return Err("a column has a name that is computed");
        }
        columns.insert(field.unwrap_or(name));
    }
    reader.mark(',', "the model has no options")?;
    let options = reader.object()?;
    let table = text_of(&options, "tableName").ok_or("the model names no table")?;
    let stamps = options.iter().find(|(name, _)| name == "timestamps");
    let none = |value: &&[Token]| *value == [Token::Word("false".to_owned())];
    if !stamps.is_some_and(|(_, value)| none(value)) {
        return Err("its table has columns that it does not name: `timestamps` is not false");
    }
    Ok(Model {
        table: table.to_owned(),
        columns,
    })
}

/// The database of a file of models by its path in the console, such as
/// `app/dao/db/db_tars_models/t_server_conf.js`; none of another file.
#[must_use]
pub fn database(path: &str) -> Option<&str> {
    let (folder, file) = path.rsplit_once('/')?;
    let name = folder.rsplit('/').next()?;
    let is_model = file.ends_with(".js") && name.starts_with("db_");
    let is_dependency = path.split('/').any(|part| part == "node_modules");
    name.strip_suffix("_models")
        .filter(|_| is_model && !is_dependency)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(columns: &str, options: &str) -> Result<Model, Why> {
        model(&format!(
            "/* {{ */\nmodule.exports = function (sequelize, DataTypes) {{\n\
             return sequelize.define('t_x', {{ {columns} }}, {{ {options} }});\n}};"
        ))
    }

    const OPTIONS: &str = "tableName: 't_x', timestamps: false, indexes: [{fields: [`a`, 'zz']}],";

    #[test]
    fn options_may_be_short() {
        let options = "sequelize, tableName: 't_x', timestamps: false, sequelize";
        assert_eq!(read("a: {}, b: {}", options).unwrap().columns.len(), 2);
    }

    #[test]
    fn columns_are_the_names_of_the_model() {
        let columns = "id: { type: DataTypes.INTEGER(11).UNSIGNED, defaultValue: sequelize.literal('a, b: {') }, // gone: {},\n\
                       'text': DataTypes.TEXT, /* old: 1, */ named: { field: 'other_name', type: DataTypes.TEXT, },";
        let model = read(columns, OPTIONS).unwrap();
        let all: Vec<&str> = model.columns.iter().map(String::as_str).collect();
        assert_eq!(all, ["id", "other_name", "text"]);
        assert_eq!(model.table, "t_x");
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (columns, options) in [
            ("...more, a: {}", OPTIONS),
            ("[name]: {}", OPTIONS),
            ("a", OPTIONS),
            ("a: { field: prefix + 'a' }", OPTIONS),
            ("a: /}/", OPTIONS),
            ("`a${b}`: {}", OPTIONS),
            ("a: {}", "tableName: 't_x'"),
            ("a: {}", "tableName: 't_x', timestamps: true"),
            ("a: {}", "timestamps: false"),
            ("a: {}", "tableName: prefix + 't_x', timestamps: false"),
            ("a: {", OPTIONS),
        ] {
            assert!(read(columns, options).is_err(), "{columns} {options}");
        }
        assert!(model("").is_err());
    }

    #[test]
    fn a_path_names_the_database() {
        let of = |path: &'static str| database(path);
        let path = "app/dao/db/db_tars_models/t_server_conf.js";
        assert_eq!(of(path), Some("db_tars"));
        let path = "sso/dao/db/db_user_system_models/t_token.js";
        assert_eq!(of(path), Some("db_user_system"));
        for other in [
            "app/dao/db/index.js",
            "node_modules/x/db_tars_models/t_x.js",
            "app/dao/db/db_tars_models/README",
            "t_x.js",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
