//! What `webConf.js` says, read without evaluating it.

/// Whether a console changes the columns of the database at its start (`webConf.alter`, TarsWeb
/// `app/dao/db/index.js`): it then drops each column that its models lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alter {
    /// It does.
    On,
    /// It does not.
    Off,
    /// The text does not say it in a way that is read here.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Text,
    Mark(char),
}

/// Reads `alter` of the object `webConf` in the text of `webConf.js`. What a branch sets, such as those for
/// other values of `NODE_ENV`, does not count: nothing that starts a console for us sets that variable.
#[must_use]
pub fn alter(text: &str) -> Alter {
    let Some(tokens) = tokens(text) else {
        return Alter::Unknown;
    };
    let mut found = None;
    let mut depth = 0_i32;
    let mut object: Option<i32> = None;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Mark('{') => {
                if let [.., Token::Word("webConf"), Token::Mark(':')] = &tokens[..at]
                    && depth == 1
                {
                    object = Some(depth + 1);
                }
                depth += 1;
            }
            Token::Mark('}') => {
                if object == Some(depth) {
                    object = None;
                }
                depth -= 1;
            }
            Token::Word("alter") if object == Some(depth) || depth == 0 => {
                // A second one counts, as it does in JavaScript.
                found = match &tokens[at + 1..] {
                    [
                        Token::Mark(':'),
                        Token::Word(value),
                        Token::Mark(',' | '}'),
                        ..,
                    ] if depth > 0 => Some(*value),
                    [Token::Mark('='), Token::Word(value), Token::Mark(';'), ..] if depth == 0 => {
                        Some(*value)
                    }
                    _ => return Alter::Unknown,
                };
            }
            // It may be set in a way that is not read here.
            Token::Word("webConf")
                if depth == 0 && tokens.get(at + 1) != Some(&Token::Mark('.')) =>
            {
                return Alter::Unknown;
            }
            _ => {}
        }
    }
    match (found, depth) {
        (Some("true"), 0) => Alter::On,
        (Some("false"), 0) => Alter::Off,
        _ => Alter::Unknown,
    }
}

/// Words, texts and marks; none where a text or comment does not end.
fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let taken = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/")? + 2
        } else if "'\"`".contains(c) {
            out.push(Token::Text);
            quoted(rest, c)?
        } else if is_word(c) {
            let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
            out.push(Token::Word(&rest[..end]));
            end
        } else {
            if !c.is_whitespace() {
                out.push(Token::Mark(c));
            }
            c.len_utf8()
        };
        rest = &rest[taken..];
    }
    Some(out)
}

/// The length of a text in quotes.
fn quoted(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\n' if quote != '`' => return None,
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}
