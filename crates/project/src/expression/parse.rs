//! Tokens to a tree, with the precedences of Jinja2.

use super::token::{Token, tokens};
use super::value::Value;

/// How deep expressions may nest.
const DEEPEST: usize = 100;

/// How many operators, filters and subscripts may follow each other.
const LONGEST: usize = 1000;

/// An expression.
#[derive(Debug)]
pub(crate) enum Expression {
    Constant(Value),
    Name(String),
    List(Vec<Expression>),
    Tuple(Vec<Expression>),
    Dict(Vec<(Expression, Expression)>),
    Not(Box<Expression>),
    Sign(&'static str, Box<Expression>),
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Compare(Box<Expression>, Vec<(&'static str, Expression)>),
    Binary(&'static str, Box<Expression>, Box<Expression>),
    Concat(Vec<Expression>),
    If(Box<Expression>, Box<Expression>, Option<Box<Expression>>),
    Attribute(Box<Expression>, String),
    Item(Box<Expression>, Box<Expression>),
    Slice(Box<Expression>, [Option<Box<Expression>>; 3]),
    Call(Box<Expression>, Vec<Expression>),
    Filter(Box<Expression>, String, Vec<Expression>),
    Test(Box<Expression>, String, Vec<Expression>),
}

/// Parses the expression of a conditional.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn parse(text: &str) -> Result<Expression, String> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0, links: 0 };
    if parser.tokens.is_empty() {
        return Err("Expected an expression, got end of statement block".to_owned());
    }
    let expression = parser.tuple(false)?;
    match parser.peek() {
        None => Ok(expression),
        Some(token) => Err(format!("expected token 'end of statement block', got {}", spell(token))),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    links: usize,
}

type Parsed = Result<Expression, String>;

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Some(Token::Sign(found)) if *found == sign)
    }

    fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Some(Token::Name(found)) if found == name)
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = self.is_sign(sign);
        self.at += usize::from(found);
        found
    }

    fn take_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        self.at += usize::from(found);
        found
    }

    /// The first of some signs, if it is next.
    fn take_one_of(&mut self, signs: &[&'static str]) -> Option<&'static str> {
        signs.iter().find(|sign| self.take_sign(sign)).copied()
    }

    /// Counts a link of a chain; each makes the tree one level deeper.
    fn link(&mut self) -> Result<(), String> {
        self.links += 1;
        if self.links > LONGEST { Err(format!("more than {LONGEST} operators")) } else { Ok(()) }
    }

    fn want(&mut self, sign: &str) -> Result<(), String> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.unexpected(&format!("'{sign}'"))) }
    }

    fn unexpected(&self, wanted: &str) -> String {
        let got = self.peek().map_or("end of statement block".to_owned(), spell);
        format!("expected token {wanted}, got {got}")
    }

    /// Expressions with commas between them; without a comma the expression itself.
    fn tuple(&mut self, inline_if: bool) -> Parsed {
        let first = self.expression(inline_if)?;
        if !self.is_sign(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.take_sign(",") {
            if self.peek().is_none() || self.is_sign(")") {
                break;
            }
            items.push(self.expression(inline_if)?);
        }
        Ok(Expression::Tuple(items))
    }

    fn expression(&mut self, inline_if: bool) -> Parsed {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("more than {DEEPEST} levels deep"));
        }
        let mut value = self.or()?;
        while inline_if && self.take_name("if") {
            self.link()?;
            let test = self.or()?;
            let otherwise =
                if self.take_name("else") { Some(Box::new(self.expression(true)?)) } else { None };
            value = Expression::If(Box::new(test), Box::new(value), otherwise);
        }
        self.depth -= 1;
        Ok(value)
    }

    fn or(&mut self) -> Parsed {
        let first = self.and()?;
        if !self.is_name("or") {
            return Ok(first);
        }
        let mut terms = vec![first];
        while self.take_name("or") {
            terms.push(self.and()?);
        }
        Ok(Expression::Or(terms))
    }

    fn and(&mut self) -> Parsed {
        let first = self.not()?;
        if !self.is_name("and") {
            return Ok(first);
        }
        let mut terms = vec![first];
        while self.take_name("and") {
            terms.push(self.not()?);
        }
        Ok(Expression::And(terms))
    }

    fn not(&mut self) -> Parsed {
        let mut count = 0;
        while self.take_name("not") {
            count += 1;
        }
        let mut value = self.compare()?;
        // Two of them only differ from none in that the answer is a truth value.
        for _ in 0..if count > 2 { 2 - count % 2 } else { count } {
            value = Expression::Not(Box::new(value));
        }
        Ok(value)
    }

    fn compare(&mut self) -> Parsed {
        let left = self.sum()?;
        let mut rest = Vec::new();
        loop {
            let sign = match self.take_one_of(&["==", "!=", ">=", "<=", ">", "<"]) {
                Some(sign) => sign,
                None if self.take_name("in") => "in",
                None if self.is_name("not")
                    && self.tokens.get(self.at + 1) == Some(&Token::Name("in".into())) =>
                {
                    self.at += 2;
                    "not in"
                }
                None => break,
            };
            rest.push((sign, self.sum()?));
        }
        Ok(if rest.is_empty() { left } else { Expression::Compare(Box::new(left), rest) })
    }

    fn sum(&mut self) -> Parsed {
        let mut left = self.concat()?;
        while let Some(sign) = self.take_one_of(&["+", "-"]) {
            self.link()?;
            left = Expression::Binary(sign, Box::new(left), Box::new(self.concat()?));
        }
        Ok(left)
    }

    fn concat(&mut self) -> Parsed {
        let first = self.product()?;
        if !self.is_sign("~") {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.take_sign("~") {
            parts.push(self.product()?);
        }
        Ok(Expression::Concat(parts))
    }

    fn product(&mut self) -> Parsed {
        let mut left = self.power()?;
        while let Some(sign) = self.take_one_of(&["*", "//", "/", "%"]) {
            self.link()?;
            left = Expression::Binary(sign, Box::new(left), Box::new(self.power()?));
        }
        Ok(left)
    }

    fn power(&mut self) -> Parsed {
        let mut left = self.unary(true)?;
        while self.take_sign("**") {
            self.link()?;
            left = Expression::Binary("**", Box::new(left), Box::new(self.unary(true)?));
        }
        Ok(left)
    }

    fn unary(&mut self, filters: bool) -> Parsed {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("more than {DEEPEST} levels deep"));
        }
        let mut value = match self.take_one_of(&["-", "+"]) {
            Some(sign) => Expression::Sign(sign, Box::new(self.unary(false)?)),
            None => self.primary()?,
        };
        value = self.postfix(value)?;
        if filters {
            value = self.filters(value)?;
        }
        self.depth -= 1;
        Ok(value)
    }

    fn primary(&mut self) -> Parsed {
        let Some(token) = self.peek().cloned() else {
            return Err("Expected an expression, got end of statement block".to_owned());
        };
        self.at += 1;
        Ok(match token {
            Token::Name(name) => match name.as_str() {
                "true" | "True" => Expression::Constant(Value::Bool(true)),
                "false" | "False" => Expression::Constant(Value::Bool(false)),
                "none" | "None" => Expression::Constant(Value::None),
                _ => Expression::Name(name),
            },
            Token::Int(number) => Expression::Constant(Value::Int(number)),
            Token::Float(number) => Expression::Constant(Value::Float(number)),
            Token::Text(mut text) => {
                while let Some(Token::Text(more)) = self.peek() {
                    text.push_str(more);
                    self.at += 1;
                }
                Expression::Constant(Value::Text(text))
            }
            Token::Sign("(") => {
                if self.take_sign(")") {
                    return Ok(Expression::Tuple(Vec::new()));
                }
                let inner = self.tuple(true)?;
                self.want(")")?;
                inner
            }
            Token::Sign("[") => Expression::List(self.items("]")?),
            Token::Sign("{") => self.dict()?,
            other => return Err(format!("unexpected {}", spell(&other))),
        })
    }

    /// Expressions up to a closing sign.
    fn items(&mut self, close: &str) -> Result<Vec<Expression>, String> {
        let mut items = Vec::new();
        while !self.take_sign(close) {
            if !items.is_empty() {
                self.want(",")?;
                if self.take_sign(close) {
                    break;
                }
            }
            items.push(self.expression(true)?);
        }
        Ok(items)
    }

    fn dict(&mut self) -> Parsed {
        let mut entries = Vec::new();
        while !self.take_sign("}") {
            if !entries.is_empty() {
                self.want(",")?;
                if self.take_sign("}") {
                    break;
                }
            }
            let key = self.expression(true)?;
            self.want(":")?;
            entries.push((key, self.expression(true)?));
        }
        Ok(Expression::Dict(entries))
    }

    fn postfix(&mut self, mut value: Expression) -> Parsed {
        while [".", "[", "("].iter().any(|sign| self.is_sign(sign)) {
            self.link()?;
            if self.take_sign(".") {
                value = match self.peek().cloned() {
                    Some(Token::Name(name)) => Expression::Attribute(Box::new(value), name),
                    Some(Token::Int(index)) => {
                        Expression::Item(Box::new(value), Box::new(Expression::Constant(Value::Int(index))))
                    }
                    _ => return Err("expected name or number".to_owned()),
                };
                self.at += 1;
            } else if self.take_sign("[") {
                value = self.subscript(value)?;
            } else {
                self.want("(")?;
                value = Expression::Call(Box::new(value), self.items(")")?);
            }
        }
        Ok(value)
    }

    fn subscript(&mut self, value: Expression) -> Parsed {
        let mut bounds = [None, None, None];
        let mut colons = 0;
        loop {
            if self.take_sign("]") {
                break;
            }
            if self.take_sign(":") {
                colons += 1;
                if colons > 2 {
                    return Err(self.unexpected("']'"));
                }
                continue;
            }
            bounds[colons] = Some(Box::new(self.expression(true)?));
        }
        let [index, ..] = &mut bounds;
        match (colons, index.take()) {
            (0, Some(index)) => Ok(Expression::Item(Box::new(value), index)),
            (0, None) => Err("expected subscript expression".to_owned()),
            (_, first) => {
                bounds[0] = first;
                Ok(Expression::Slice(Box::new(value), bounds))
            }
        }
    }

    fn filters(&mut self, mut value: Expression) -> Parsed {
        while self.is_sign("|") || self.is_sign("(") || self.is_name("is") {
            self.link()?;
            if self.take_sign("|") {
                let name = self.dotted()?;
                let arguments = if self.take_sign("(") { self.items(")")? } else { Vec::new() };
                value = Expression::Filter(Box::new(value), name, arguments);
            } else if self.take_name("is") {
                value = self.test(value)?;
            } else {
                self.want("(")?;
                value = Expression::Call(Box::new(value), self.items(")")?);
            }
        }
        Ok(value)
    }

    fn dotted(&mut self) -> Result<String, String> {
        let mut name = String::new();
        loop {
            let Some(Token::Name(part)) = self.peek().cloned() else { return Err(self.unexpected("'name'")) };
            self.at += 1;
            name.push_str(&part);
            if !self.take_sign(".") {
                return Ok(name);
            }
            name.push('.');
        }
    }

    fn test(&mut self, value: Expression) -> Parsed {
        let negated = self.take_name("not");
        let name = self.dotted()?;
        let takes_one = match self.peek() {
            Some(Token::Name(name)) => !matches!(name.as_str(), "else" | "or" | "and"),
            Some(Token::Sign(sign)) => matches!(*sign, "[" | "{"),
            Some(_) => true,
            None => false,
        };
        let arguments = if self.take_sign("(") {
            self.items(")")?
        } else if takes_one {
            if self.is_name("is") {
                return Err("You cannot chain multiple tests with is".to_owned());
            }
            let argument = self.primary()?;
            vec![self.postfix(argument)?]
        } else {
            Vec::new()
        };
        let test = Expression::Test(Box::new(value), name, arguments);
        Ok(if negated { Expression::Not(Box::new(test)) } else { test })
    }
}

fn spell(token: &Token) -> String {
    match token {
        Token::Int(number) => format!("'{number}'"),
        Token::Float(number) => format!("'{number}'"),
        Token::Text(text) => format!("'{text}'"),
        Token::Name(name) => format!("'{name}'"),
        Token::Sign(sign) => format!("'{sign}'"),
    }
}
