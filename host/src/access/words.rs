//! What is asked, in the words of GRANT: `SELECT ON sales.orders`, `EXECUTE ON FUNCTION sales.refund(integer)`. Identifiers
//! fold and are quoted as in SQL: <https://www.postgresql.org/docs/current/sql-syntax-lexical.html>.

use super::{Kind, privilege};
use crate::model::Privileges;
use crate::printable;
use crate::sql::quote::element;

/// Which object is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// What it is called: `TABLE`, `VIEW`, …; `None` where nothing was said, which is a table or a sequence.
    pub kind: Option<Kind>,
    /// In which schema; `None`: in the one that has it.
    pub schema: Option<String>,
    /// Its name.
    pub name: String,
    /// Of a routine the types of the arguments as written; `None`: there is only one of this name.
    pub arguments: Option<String>,
    /// Of a column, its name; what is named otherwise is its table.
    pub column: Option<String>,
}

impl Named {
    /// As it was named, safe to show.
    pub fn in_words(&self) -> String {
        let schema = self.schema.as_deref().map(|schema| element(schema) + ".").unwrap_or_default();
        let arguments = self.arguments.as_deref().map(|arguments| format!("({arguments})")).unwrap_or_default();
        let object = match self.kind {
            Some(Kind::Parameter | Kind::LargeObject) => self.name.clone(),
            _ => element(&self.name),
        };
        printable::line(&format!("{schema}{object}{arguments}")).into_owned()
    }
}

/// A privilege on an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// A single one.
    pub privilege: Privileges,
    /// On what.
    pub on: Named,
}

/// Why the words make no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} in {text}; say it as GRANT does, such as: SELECT ON sales.orders, UPDATE ON sales.orders(total), USAGE ON SCHEMA sales, \
     EXECUTE ON FUNCTION sales.refund(integer)"
)]
pub struct WordsError {
    /// What is wrong.
    what: String,
    /// What was said, safe to show.
    text: String,
}

/// Reads the words.
///
/// # Errors
/// Where they are not those of GRANT.
pub fn parse(text: &str) -> Result<Request, WordsError> {
    let tokens = tokens(text).and_then(|tokens| Reader { tokens: &tokens, text, next: 0 }.request());
    tokens.map_err(|what| WordsError { what, text: printable::name(text).into_owned() })
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// Unquoted, folded to lower case.
    Word(String),
    /// Quoted.
    Quoted(String),
    Number(String),
    Symbol(char),
}

/// Each with the place where it ends.
fn tokens(text: &str) -> Result<Vec<(Token, usize, usize)>, String> {
    let mut tokens = Vec::new();
    let mut letters = text.char_indices().peekable();
    while let Some((start, letter)) = letters.next() {
        let token = match letter {
            letter if letter.is_whitespace() => continue,
            '"' => {
                let mut name = String::new();
                loop {
                    match letters.next() {
                        Some((_, '"')) if letters.next_if(|(_, next)| *next == '"').is_some() => name.push('"'),
                        Some((_, '"')) => break,
                        Some((_, letter)) => name.push(letter),
                        None => return Err("a quoted identifier does not end".to_owned()),
                    }
                }
                if name.is_empty() {
                    return Err("an identifier is empty".to_owned());
                }
                Token::Quoted(name)
            }
            letter if letter.is_ascii_digit() => {
                let mut number = String::from(letter);
                while let Some((_, digit)) = letters.next_if(|(_, next)| next.is_ascii_digit()) {
                    number.push(digit);
                }
                Token::Number(number)
            }
            letter if letter.is_ascii_alphabetic() || letter == '_' || !letter.is_ascii() => {
                let mut word = String::from(letter.to_ascii_lowercase());
                let goes_on =
                    |next: char| next.is_ascii_alphanumeric() || matches!(next, '_' | '$') || !next.is_ascii();
                while let Some((_, letter)) = letters.next_if(|(_, next)| goes_on(*next) && !next.is_whitespace()) {
                    word.push(letter.to_ascii_lowercase());
                }
                Token::Word(word)
            }
            '.' | ',' | '(' | ')' | '[' | ']' => Token::Symbol(letter),
            other => return Err(format!("{} cannot stand here without quotes", printable::name(&other.to_string()))),
        };
        let end = letters.peek().map_or(text.len(), |(end, _)| *end);
        tokens.push((token, start, end));
    }
    Ok(tokens)
}

struct Reader<'a> {
    tokens: &'a [(Token, usize, usize)],
    text: &'a str,
    next: usize,
}

/// The kinds by their keywords, the longest first; what GRANT and people call a table is one.
const KINDS: [(&[&str], Kind); 19] = [
    (&["foreign", "data", "wrapper"], Kind::ForeignDataWrapper),
    (&["foreign", "server"], Kind::ForeignServer),
    (&["foreign", "table"], Kind::Table),
    (&["materialized", "view"], Kind::Table),
    (&["large", "object"], Kind::LargeObject),
    (&["table"], Kind::Table),
    (&["view"], Kind::Table),
    (&["sequence"], Kind::Sequence),
    (&["function"], Kind::Routine),
    (&["procedure"], Kind::Routine),
    (&["routine"], Kind::Routine),
    (&["aggregate"], Kind::Routine),
    (&["schema"], Kind::Schema),
    (&["database"], Kind::Database),
    (&["type"], Kind::Type),
    (&["domain"], Kind::Type),
    (&["language"], Kind::Language),
    (&["parameter"], Kind::Parameter),
    (&["tablespace"], Kind::Tablespace),
];

impl Reader<'_> {
    fn request(mut self) -> Result<Request, String> {
        let mut words = Vec::new();
        loop {
            match self.token() {
                Some(Token::Word(word)) if word == "on" => break,
                Some(Token::Word(word)) => words.push(word.to_uppercase()),
                Some(Token::Symbol(',')) => {
                    return Err("there is more than one privilege; ask for one at a time".to_owned());
                }
                _ => return Err("ON and an object are missing".to_owned()),
            }
        }
        let said = words.join(" ");
        if said.is_empty() {
            return Err("the privilege before ON is missing".to_owned());
        }
        let Some(privilege) = privilege(&said) else {
            let known: Vec<&str> = Privileges::all().keywords().collect();
            return Err(format!("{said} is no privilege (there are {})", known.join(", ")));
        };
        let kind = self.kind();
        let on = self.named(kind)?;
        match self.tokens.get(self.next) {
            None => Ok(Request { privilege, on }),
            Some((_, start, _)) => {
                Err(format!("nothing is expected after the object, but for {}", printable::name(&self.text[*start..])))
            }
        }
    }

    fn token(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.next).map(|(token, ..)| token.clone());
        self.next += usize::from(token.is_some());
        token
    }

    fn symbol(&mut self, wanted: char) -> bool {
        let found = matches!(self.tokens.get(self.next), Some((Token::Symbol(symbol), ..)) if *symbol == wanted);
        self.next += usize::from(found);
        found
    }

    /// The keyword of a kind, unless that is the name of the object: `SELECT ON view`, `SELECT ON type.x`.
    fn kind(&mut self) -> Option<Kind> {
        let rest = &self.tokens[self.next..];
        let (words, kind) = KINDS.iter().find(|(words, _)| {
            words.len() < rest.len()
                && words.iter().zip(rest).all(|(word, (token, ..))| matches!(token, Token::Word(said) if said == word))
                && !matches!(rest[words.len()].0, Token::Symbol(_))
        })?;
        self.next += words.len();
        Some(*kind)
    }

    fn named(&mut self, kind: Option<Kind>) -> Result<Named, String> {
        let mut named = Named { kind, schema: None, name: String::new(), arguments: None, column: None };
        if kind == Some(Kind::LargeObject) {
            let Some(Token::Number(number)) = self.token() else {
                return Err("a large object is named by its number".to_owned());
            };
            named.name = number;
            return Ok(named);
        }
        named.name = self.identifier()?;
        while self.symbol('.') {
            let next = self.identifier()?;
            match kind {
                // The dot is part of its name.
                Some(Kind::Parameter) => named.name = format!("{}.{next}", named.name),
                None | Some(Kind::Table | Kind::Sequence | Kind::Routine | Kind::Type) if named.schema.is_none() => {
                    named.schema = Some(std::mem::replace(&mut named.name, next));
                }
                None | Some(Kind::Table | Kind::Sequence | Kind::Routine | Kind::Type) => {
                    return Err("there is one name too many (the database goes into --database)".to_owned());
                }
                Some(other) => return Err(format!("a {} lies in no schema", other.word())),
            }
        }
        match kind {
            Some(Kind::Routine) if self.symbol('(') => named.arguments = Some(self.arguments()?),
            None | Some(Kind::Table) if self.symbol('(') => {
                named.column = Some(self.identifier()?);
                if !self.symbol(')') {
                    return Err("one column in parentheses is expected; ask for one at a time".to_owned());
                }
            }
            _ => {}
        }
        Ok(named)
    }

    fn identifier(&mut self) -> Result<String, String> {
        match self.token() {
            Some(Token::Word(name) | Token::Quoted(name)) => Ok(name),
            _ => Err("the name of an object is missing".to_owned()),
        }
    }

    /// What stands up to the parenthesis that closes, as it stands there.
    fn arguments(&mut self) -> Result<String, String> {
        let start = self.tokens.get(self.next.wrapping_sub(1)).map_or(self.text.len(), |(_, _, end)| *end);
        let mut depth = 1;
        loop {
            let place = self.tokens.get(self.next).map_or(self.text.len(), |(_, start, _)| *start);
            match self.token() {
                Some(Token::Symbol('(')) => depth += 1,
                Some(Token::Symbol(')')) => depth -= 1,
                Some(_) => {}
                None => return Err("the list of arguments does not end".to_owned()),
            }
            if depth == 0 {
                return Ok(self.text[start..place].trim().to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sql::quote::identifier;

    fn named(kind: Option<Kind>, schema: Option<&str>, name: &str) -> Named {
        let schema = schema.map(str::to_owned);
        Named { kind, schema, name: name.to_owned(), arguments: None, column: None }
    }

    #[test]
    fn objects_are_named_as_in_grant() {
        let cases = [
            ("SELECT ON sales.orders", named(None, Some("sales"), "orders")),
            ("select on Sales.ORDERS", named(None, Some("sales"), "orders")),
            (r#"SELECT ON "Sales"."Or ""ders""""#, named(None, Some("Sales"), "Or \"ders\"")),
            ("SELECT ON TABLE größe.Ünder", named(Some(Kind::Table), Some("größe"), "Ünder")),
            ("SELECT ON view", named(None, None, "view")),
            ("SELECT ON type.view", named(None, Some("type"), "view")),
            ("SELECT ON MATERIALIZED VIEW a.b", named(Some(Kind::Table), Some("a"), "b")),
            ("USAGE ON SEQUENCE a.b", named(Some(Kind::Sequence), Some("a"), "b")),
            ("USAGE ON SCHEMA sales", named(Some(Kind::Schema), None, "sales")),
            ("TEMP ON DATABASE \"on\"", named(Some(Kind::Database), None, "on")),
            ("USAGE ON FOREIGN SERVER films", named(Some(Kind::ForeignServer), None, "films")),
            ("USAGE ON FOREIGN DATA WRAPPER w", named(Some(Kind::ForeignDataWrapper), None, "w")),
            ("SELECT ON LARGE OBJECT 42", named(Some(Kind::LargeObject), None, "42")),
            ("ALTER SYSTEM ON PARAMETER App.Tenant", named(Some(Kind::Parameter), None, "app.tenant")),
            ("CREATE ON TABLESPACE fast", named(Some(Kind::Tablespace), None, "fast")),
            ("USAGE ON DOMAIN a.b", named(Some(Kind::Type), Some("a"), "b")),
        ];
        for (text, on) in cases {
            assert_eq!(parse(text).map(|request| request.on), Ok(on), "{text}");
        }
        let request = parse("alter system on parameter work_mem").unwrap();
        assert_eq!(request.privilege, Privileges::ALTER_SYSTEM);
        let column = parse(r#"UPDATE ON sales.orders ( "To tal" )"#).unwrap().on;
        assert_eq!((column.name.as_str(), column.column.as_deref()), ("orders", Some("To tal")));
        for (text, arguments) in [
            ("EXECUTE ON FUNCTION a.f", None),
            ("EXECUTE ON FUNCTION a.f()", Some("")),
            (r#"EXECUTE ON PROCEDURE a.f(numeric(3, 1), "T"[] )"#, Some(r#"numeric(3, 1), "T"[]"#)),
        ] {
            assert_eq!(parse(text).unwrap().on.arguments.as_deref(), arguments, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_comes_back_as_it_was(schema in "[^\\x00]{1,20}", table in "[^\\x00]{1,20}", column in "[^\\x00]{1,20}") {
            let text = format!("SELECT ON {}.{} ({})", identifier(&schema), identifier(&table), identifier(&column));
            let on = Named { column: Some(column), ..named(None, Some(&schema), &table) };
            prop_assert_eq!(parse(&text).unwrap().on, on);
        }

        #[test]
        fn no_text_is_too_much(text in ".{0,40}") {
            let _ = parse(&format!("SELECT ON {text}"));
            let _ = parse(&format!("EXECUTE ON FUNCTION f({text}"));
        }
    }

    #[test]
    fn what_is_not_grant_is_told() {
        for (text, what) in [
            ("", "ON and an object are missing"),
            ("SELECT", "ON and an object are missing"),
            ("ON a.b", "the privilege before ON is missing"),
            ("SELEKT ON a.b", "SELEKT is no privilege"),
            ("SELECT, INSERT ON a.b", "one at a time"),
            ("SELECT ON", "the name of an object is missing"),
            ("SELECT ON a.", "the name of an object is missing"),
            ("SELECT ON a.b.c", "--database"),
            ("SELECT ON a.b c", "nothing is expected after the object"),
            ("SELECT ON \"a", "does not end"),
            ("SELECT ON \"\"", "is empty"),
            ("SELECT ON a-b", "without quotes"),
            ("SELECT ON a.b(c, d)", "one at a time"),
            ("USAGE ON SCHEMA a.b", "a schema lies in no schema"),
            ("EXECUTE ON FUNCTION a.f(int", "does not end"),
            ("SELECT ON LARGE OBJECT x", "by its number"),
            ("SELECT ON a.b; DROP TABLE c", "without quotes"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(what) && error.contains("SELECT ON sales.orders"), "{text}: {error}");
        }
    }
}
