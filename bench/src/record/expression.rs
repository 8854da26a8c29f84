//! Owns the grammar of `--assert`: text to a syntax tree, and its value over named fields. It knows nothing of runs.
//!
//! ```text
//! assertion  = sum comparison sum            comparison = "==" | "!=" | "<=" | ">=" | "<" | ">"
//! sum        = product { ("+" | "-") product }
//! product    = factor { ("*" | "/") factor }
//! factor     = [ "-" ] ( number | field | "(" sum ")" )
//! number     = 12 | 0.5 | 1e6 | 1_000        field = name { "." name }
//! ```

use std::str::FromStr;

/// Depth to which parentheses and signs may nest, so that no text can exhaust the stack.
const DEPTH_MAX: usize = 64;

/// A comparison of two sums.
#[derive(Clone, PartialEq, Debug)]
pub struct Expression {
    text: String,
    left: Term,
    comparison: Comparison,
    right: Term,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Comparison {
    Equal,
    NotEqual,
    AtMost,
    AtLeast,
    Less,
    Greater,
}

#[derive(Clone, PartialEq, Debug)]
enum Term {
    Number(f64),
    Field(String),
    Negated(Box<Term>),
    Of(Box<Term>, Operator, Box<Term>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operator {
    Plus,
    Minus,
    Times,
    Over,
}

/// Text that is not an assertion: what was expected, and where.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{problem} at character {at} of `{text}`")]
pub struct SyntaxError {
    text: String,
    /// The position, from 1.
    at: usize,
    problem: String,
}

/// Text that asserts nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AssertionError {
    /// The text is not of the grammar.
    #[error("{0}")]
    Syntax(#[from] SyntaxError),
    /// A field that there is not.
    #[error("{0}")]
    Unknown(String),
}

impl FromStr for Expression {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let mut reader = Reader { text, at: 0, depth: 0 };
        let left = reader.sum()?;
        let comparison = reader.comparison()?;
        let right = reader.sum()?;
        match reader.peek() {
            None => Ok(Expression { text: text.to_owned(), left, comparison, right }),
            Some(_) => Err(reader.error("expected the end")),
        }
    }
}

impl Expression {
    /// Accepts it if every field is known; `why` says what is wrong with the first one that is not.
    pub fn check_fields(
        &self,
        known: impl Fn(&str) -> bool,
        why: impl FnOnce(&str) -> String,
    ) -> Result<(), AssertionError> {
        match self.fields().into_iter().find(|field| !known(field)) {
            None => Ok(()),
            Some(field) => {
                Err(AssertionError::Unknown(format!("`{}` asks for `{field}`, {}", self.text, why(field))))
            }
        }
    }

    /// The fields that it names, each once, in the order in which they come.
    pub fn fields(&self) -> Vec<&str> {
        let mut fields = Vec::new();
        self.left.collect_fields(&mut fields);
        self.right.collect_fields(&mut fields);
        fields
    }

    /// The complaint if it does not hold: a line with the assertion, `of` which run (nothing, or a blank and words), and
    /// the values of its fields.
    pub fn complaint(&self, of: &str, value: &impl Fn(&str) -> Option<f64>) -> Option<String> {
        let verdict = match self.holds(value) {
            Some(true) => return None,
            Some(false) => "does not hold",
            None => "cannot be told",
        };
        let figure = |name: &str| match value(name) {
            Some(number) => format!("{name} = {number}"),
            None => format!("{name} was not measured"),
        };
        let figures: Vec<String> = self.fields().into_iter().map(figure).collect();
        Some(format!("--assert '{}' {verdict}{of}: {}", self.text, figures.join(", ")))
    }

    /// Evaluates it, with `value` for each field; `None` if a field has no value.
    pub fn holds(&self, value: &impl Fn(&str) -> Option<f64>) -> Option<bool> {
        let (left, right) = (self.left.value(value)?, self.right.value(value)?);
        Some(match self.comparison {
            Comparison::Equal => left == right,
            Comparison::NotEqual => left != right,
            Comparison::AtMost => left <= right,
            Comparison::AtLeast => left >= right,
            Comparison::Less => left < right,
            Comparison::Greater => left > right,
        })
    }
}

impl Term {
    fn collect_fields<'a>(&'a self, into: &mut Vec<&'a str>) {
        match self {
            Term::Number(_) => {}
            Term::Field(name) if into.contains(&name.as_str()) => {}
            Term::Field(name) => into.push(name),
            Term::Negated(term) => term.collect_fields(into),
            Term::Of(left, _, right) => {
                left.collect_fields(into);
                right.collect_fields(into);
            }
        }
    }

    fn value(&self, of: &impl Fn(&str) -> Option<f64>) -> Option<f64> {
        Some(match self {
            Term::Number(number) => *number,
            Term::Field(name) => of(name)?,
            Term::Negated(term) => -term.value(of)?,
            Term::Of(left, operator, right) => {
                let (left, right) = (left.value(of)?, right.value(of)?);
                match operator {
                    Operator::Plus => left + right,
                    Operator::Minus => left - right,
                    Operator::Times => left * right,
                    Operator::Over => left / right,
                }
            }
        })
    }
}

/// A term that was read.
type Parsed = Result<Term, SyntaxError>;

/// The text, and how far it has been read.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn sum(&mut self) -> Parsed {
        self.chain([('+', Operator::Plus), ('-', Operator::Minus)], Self::product)
    }

    fn product(&mut self) -> Parsed {
        self.chain([('*', Operator::Times), ('/', Operator::Over)], Self::factor)
    }

    /// Terms with these operators between them, from left to right.
    fn chain(&mut self, operators: [(char, Operator); 2], term: fn(&mut Self) -> Parsed) -> Parsed {
        let mut all = term(self)?;
        loop {
            let next = self.peek();
            let found = operators.iter().find(|(sign, _)| Some(*sign) == next);
            let Some((_, operator)) = found else { return Ok(all) };
            self.at += 1;
            all = Term::Of(Box::new(all), *operator, Box::new(term(self)?));
        }
    }

    fn factor(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error("nested too deep"));
        }
        let term = match self.peek() {
            Some('-') => {
                self.at += 1;
                Term::Negated(Box::new(self.factor()?))
            }
            Some('(') => {
                self.at += 1;
                let term = self.sum()?;
                self.expect(')')?;
                term
            }
            Some(first) if first.is_ascii_digit() || first == '.' => self.number()?,
            Some(first) if first.is_ascii_alphabetic() || first == '_' => {
                Term::Field(self.take(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.').to_owned())
            }
            _ => return Err(self.error("expected a field, a number or `(`")),
        };
        self.depth -= 1;
        Ok(term)
    }

    fn number(&mut self) -> Parsed {
        let start = self.at;
        self.take(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
        // The sign of an exponent is the only one inside a number.
        if self.text[start..self.at].ends_with(['e', 'E']) && self.rest().starts_with(['+', '-']) {
            self.at += 1;
            self.take(|c| c.is_ascii_digit() || c == '_');
        }
        let digits = self.text[start..self.at].replace('_', "");
        match digits.parse() {
            Ok(number) => Ok(Term::Number(number)),
            Err(_) => {
                self.at = start;
                Err(self.error("expected a number"))
            }
        }
    }

    fn comparison(&mut self) -> Result<Comparison, SyntaxError> {
        self.peek();
        // Those of two characters first: `<=` begins with `<`.
        let comparisons = [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::AtMost),
            (">=", Comparison::AtLeast),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        let found = comparisons.into_iter().find(|(sign, _)| self.rest().starts_with(sign));
        let Some((sign, comparison)) = found else {
            return Err(self.error("expected one of == != <= >= < >"));
        };
        self.at += sign.len();
        Ok(comparison)
    }

    fn expect(&mut self, wanted: char) -> Result<(), SyntaxError> {
        if self.peek() == Some(wanted) {
            self.at += wanted.len_utf8();
            return Ok(());
        }
        Err(self.error(&format!("expected `{wanted}`")))
    }

    /// The next character that is not blank, without taking it.
    fn peek(&mut self) -> Option<char> {
        self.take(char::is_whitespace);
        self.rest().chars().next()
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn error(&self, problem: &str) -> SyntaxError {
        let at = self.text[..self.at].chars().count() + 1;
        SyntaxError { text: self.text.to_owned(), at, problem: problem.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fmt;

    // Written back, an expression shows how it was understood.
    impl fmt::Display for Comparison {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(match self {
                Comparison::Equal => "==",
                Comparison::NotEqual => "!=",
                Comparison::AtMost => "<=",
                Comparison::AtLeast => ">=",
                Comparison::Less => "<",
                Comparison::Greater => ">",
            })
        }
    }

    impl fmt::Display for Expression {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{} {} {}", self.left, self.comparison, self.right)
        }
    }

    impl fmt::Display for Term {
        /// Fully parenthesised, so that what was understood can be seen.
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                Term::Number(number) => write!(f, "{number}"),
                Term::Field(name) => f.write_str(name),
                Term::Negated(term) => write!(f, "-{term}"),
                Term::Of(left, operator, right) => {
                    let sign = match operator {
                        Operator::Plus => '+',
                        Operator::Minus => '-',
                        Operator::Times => '*',
                        Operator::Over => '/',
                    };
                    write!(f, "({left} {sign} {right})")
                }
            }
        }
    }

    fn value(name: &str) -> Option<f64> {
        match name {
            "lost" => Some(0.0),
            "deliveries" => Some(51_200.0),
            "latency_us.median" => Some(2_500.0),
            _ => None,
        }
    }

    #[track_caller]
    fn holds(text: &str) -> Option<bool> {
        Expression::from_str(text).unwrap().holds(&value)
    }

    #[test]
    fn assertions_that_hold_and_that_do_not() {
        assert_eq!(holds("lost==0"), Some(true));
        assert_eq!(holds(" lost != 0 "), Some(false));
        assert_eq!(holds("latency_us.median<5000"), Some(true));
        assert_eq!(holds("latency_us.median <= 2.5e3"), Some(true));
        assert_eq!(holds("latency_us.median > 2.5E+3"), Some(false));
        assert_eq!(holds("deliveries >= 51_200"), Some(true));
        assert_eq!(holds("deliveries < 1e-3"), Some(false));
        assert_eq!(holds("0 == lost"), Some(true));
    }

    #[test]
    fn arithmetic_binds_as_usual() {
        assert_eq!(holds("1 + 2 * 3 == 7"), Some(true));
        assert_eq!(holds("(1 + 2) * 3 == 9"), Some(true));
        assert_eq!(holds("10 - 3 - 2 == 5"), Some(true));
        assert_eq!(holds("16 / 4 / 2 == 2"), Some(true));
        assert_eq!(holds("-(2 - 5) == 3"), Some(true));
        assert_eq!(holds("2*-3 == -6"), Some(true));
        assert_eq!(holds("deliveries / 512 == 100"), Some(true));
    }

    #[test]
    fn a_field_without_a_value_gives_no_answer() {
        assert_eq!(holds("nothing == 1"), None);
    }

    #[test]
    fn a_division_by_zero_does_not_hold() {
        assert_eq!(holds("lost / lost == 0"), Some(false));
        assert_eq!(holds("1 / lost < 10"), Some(false));
    }

    #[test]
    fn the_fields_are_listed_once() {
        let expression = Expression::from_str("a.b + c * a.b < d").unwrap();
        assert_eq!(expression.fields(), ["a.b", "c", "d"]);
        assert_eq!(expression.to_string(), "(a.b + (c * a.b)) < d");
    }

    #[test]
    fn an_error_says_what_and_where() {
        let error = |text: &str| Expression::from_str(text).unwrap_err().to_string();
        assert_eq!(error("lost=0"), "expected one of == != <= >= < > at character 5 of `lost=0`");
        assert_eq!(error("lost=="), "expected a field, a number or `(` at character 7 of `lost==`");
        assert_eq!(error("lost"), "expected one of == != <= >= < > at character 5 of `lost`");
        assert_eq!(error("(lost == 0"), "expected `)` at character 7 of `(lost == 0`");
        assert_eq!(error("lost == 0 0"), "expected the end at character 11 of `lost == 0 0`");
        assert_eq!(error("lost == 0 == 0"), "expected the end at character 11 of `lost == 0 == 0`");
        assert_eq!(error("1.2.3 == 0"), "expected a number at character 1 of `1.2.3 == 0`");
        assert_eq!(error("lost == 12ms"), "expected a number at character 9 of `lost == 12ms`");
        assert_eq!(error("ä == 0"), "expected a field, a number or `(` at character 1 of `ä == 0`");
        assert_eq!(error(""), "expected a field, a number or `(` at character 1 of ``");
    }

    #[test]
    fn deep_nesting_is_refused_not_fatal() {
        let deep = format!("{}1{} == 1", "(".repeat(100_000), ")".repeat(100_000));
        assert!(Expression::from_str(&deep).unwrap_err().to_string().starts_with("nested too deep"));
        let signs = format!("{}1 == 1", "-".repeat(100_000));
        assert!(Expression::from_str(&signs).is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = Expression::from_str(&text);
        }

        #[test]
        fn no_text_of_the_alphabet_panics(text in "[a-c0-9.e+*/() <>=!_-]{0,40}") {
            if let Ok(expression) = Expression::from_str(&text) {
                let again = Expression::from_str(&expression.to_string()).unwrap();
                prop_assert_eq!(again.to_string(), expression.to_string());
            }
        }
    }
}
