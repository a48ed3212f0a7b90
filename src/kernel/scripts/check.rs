//! Reads the syntax tree of a script before it runs: which indicators it needs, and whether every name
//! in it exists. What the tree does not show stops the script when it gets there.

use rhai::{AST, ASTNode, Expr, Position, Stmt};

use super::super::indicators::{INDICATORS, Row, Spec};
use super::super::vocabulary::{
    FUNCTIONS, Fault, HISTORY_MAX, INDICATORS_MAX, Meaning, Needs, meaning, nearest,
};

/// The functions of the language that a script may call beside those of the vocabulary. None of them
/// takes longer than what it is given is long, and none knows anything of the outside.
pub(super) const LANGUAGE: &[&str] = &[
    "buy",
    "chop",
    "clear",
    "contains",
    "debug",
    "exit",
    "extract",
    "fill_with",
    "get",
    "index_of",
    "insert",
    "is_empty",
    "keys",
    "len",
    "mixin",
    "pop",
    "print",
    "push",
    "range",
    "remove",
    "reverse",
    "sell",
    "set",
    "shift",
    "sign",
    "to_debug",
    "to_float",
    "to_string",
    "truncate",
    "values",
];

/// An indicator as a script calls it: name and parameters, and its place in a frame.
#[derive(Debug, Clone)]
pub(super) struct Called {
    pub(super) row: &'static Row,
    pub(super) params: Vec<f64>,
    pub(super) index: u16,
}

/// What the tree shows.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) needs: Needs,
    pub(super) called: Vec<Called>,
}

pub(super) fn fault(at: Position, message: impl Into<String>) -> Fault {
    let number = |n: Option<usize>| n.and_then(|n| u32::try_from(n).ok()).unwrap_or(1).max(1);
    Fault {
        line: number(at.line()),
        column: number(at.position()),
        message: message.into(),
    }
}

/// Looks at every node; the first fault ends it.
pub(super) fn check(ast: &AST) -> Result<Found, Fault> {
    let mut names = Names::default();
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        if let Some(node) = path.last() {
            names.declare(node);
        }
        true
    });
    for function in ast.iter_functions() {
        names.functions.push(function.name.to_owned());
        names
            .variables
            .extend(function.params.iter().map(|p| (*p).to_owned()));
    }
    let mut found = Found::default();
    let mut result = Ok(());
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        let Some((node, above)) = path.split_last() else {
            return true;
        };
        result = look(node, above, &names, &mut found);
        result.is_ok()
    });
    result.map(|()| found)
}

/// What the script itself has defined, and the constants with a number.
#[derive(Debug, Default)]
struct Names {
    variables: Vec<String>,
    constants: Vec<(String, f64)>,
    functions: Vec<String>,
}

impl Names {
    fn declare(&mut self, node: &ASTNode<'_>) {
        match node {
            ASTNode::Stmt(Stmt::Var(var, flags, _)) => {
                let (name, value, _) = &**var;
                self.variables.push(name.name.to_string());
                let constant = flags.contains(rhai::ASTFlags::CONSTANT);
                if let Some(value) = literal(value).filter(|_| constant) {
                    self.constants.push((name.name.to_string(), value));
                }
            }
            ASTNode::Stmt(Stmt::For(parts, _)) => {
                let (name, counter, _) = &**parts;
                self.variables.push(name.name.to_string());
                self.variables
                    .extend(counter.iter().map(|c| c.name.to_string()));
            }
            // `catch (e)` names its error in an expression of its own.
            ASTNode::Stmt(Stmt::TryCatch(parts, _)) => {
                if let Expr::Variable(variable, ..) = &parts.expr {
                    self.variables.push(variable.1.to_string());
                }
            }
            _ => {}
        }
    }

    /// A number that is known before the script runs.
    fn number(&self, expr: &Expr) -> Option<f64> {
        match expr {
            Expr::Variable(variable, ..) => {
                let mut known = self
                    .constants
                    .iter()
                    .filter(|(name, _)| *name == *variable.1);
                // Two constants of one name: nobody knows here which is meant.
                known.next().filter(|_| known.next().is_none()).map(|c| c.1)
            }
            other => literal(other),
        }
    }
}

fn literal(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::IntegerConstant(value, _) => Some(*value as f64),
        Expr::FloatConstant(value, _) => Some(**value),
        Expr::FnCall(call, _) if call.name == "-" && call.args.len() == 1 => {
            call.args.first().and_then(literal).map(|v| -v)
        }
        _ => None,
    }
}

fn look(
    node: &ASTNode<'_>,
    above: &[ASTNode<'_>],
    names: &Names,
    found: &mut Found,
) -> Result<(), Fault> {
    match node {
        ASTNode::Expr(Expr::Variable(variable, _, at)) => {
            let name = variable.1.as_str();
            if names.variables.iter().any(|v| v == name) || name == "state" {
                return Ok(());
            }
            match meaning(name) {
                Some(Meaning::Field(field)) => {
                    found.needs.field(field, history(above, names));
                    Ok(())
                }
                Some(Meaning::Word(word)) => {
                    found.needs.word(word);
                    Ok(())
                }
                None => {
                    let own = names.variables.iter().map(String::as_str);
                    let near = nearest(name, own.chain(["state"]));
                    Err(fault(*at, format!("unknown name {name}{near}")))
                }
            }
        }
        ASTNode::Expr(Expr::FnCall(call, at)) | ASTNode::Stmt(Stmt::FnCall(call, at)) => {
            if call.op_token.is_some() {
                return Ok(());
            }
            let name = call.name.as_str();
            let Some(row) = INDICATORS.iter().find(|row| row.name == name) else {
                return known_function(name, names, *at);
            };
            let mut params = Vec::with_capacity(call.args.len());
            for arg in &call.args {
                params.push(names.number(arg).ok_or_else(|| {
                    let name = row.name;
                    let message = format!(
                        "the parameters of {name} must be numbers or constants (const N = 14)"
                    );
                    fault(arg.position(), message)
                })?);
            }
            let text: Vec<String> = params.iter().map(ToString::to_string).collect();
            let spec = Spec::parse(&[&[name.to_owned()], text.as_slice()].concat().join(":"))
                .map_err(|e| fault(*at, e.to_string()))?;
            let index = found.needs.indicator(spec).ok_or_else(|| {
                fault(
                    *at,
                    format!("more than {INDICATORS_MAX} different indicators"),
                )
            })?;
            let several = u8::try_from(row.outputs.len()).unwrap_or(1);
            let chosen = match above.last() {
                Some(ASTNode::Expr(Expr::Dot(pair, ..))) => output_of(row, &pair.rhs),
                _ => None,
            };
            match chosen {
                Some(output) => found.needs.output(index, output),
                None => (0..several).for_each(|output| found.needs.output(index, output)),
            }
            found.called.push(Called { row, params, index });
            Ok(())
        }
        ASTNode::Expr(Expr::MethodCall(call, at)) => known_function(&call.name, names, *at),
        _ => Ok(()),
    }
}

fn known_function(name: &str, names: &Names, at: Position) -> Result<(), Fault> {
    let is = |known: &str| known == name;
    let known = names.functions.iter().any(|f| is(f))
        || LANGUAGE.iter().any(|f| is(f))
        || FUNCTIONS.iter().any(|f| is(f.name))
        // Operators and what the language itself makes of them.
        || !name.starts_with(|c: char| c.is_ascii_alphabetic());
    if known {
        return Ok(());
    }
    let own = names.functions.iter().map(String::as_str);
    let near = nearest(name, own.chain(LANGUAGE.iter().copied()));
    Err(fault(at, format!("unknown function {name}{near}")))
}

/// The output that `.name` chooses, perhaps with a history behind it.
fn output_of(row: &Row, chosen: &Expr) -> Option<u8> {
    match chosen {
        Expr::Property(names, _) => {
            let name = names.2.as_str();
            let output = row.outputs.iter().position(|output| *output == name)?;
            u8::try_from(output).ok()
        }
        Expr::Index(pair, ..) => output_of(row, &pair.lhs),
        _ => None,
    }
}

/// How far back a field may be read: as its index says; where it goes somewhere else, as far as possible.
fn history(above: &[ASTNode<'_>], names: &Names) -> u16 {
    match above.last() {
        Some(ASTNode::Expr(Expr::Index(pair, ..))) => {
            // In `x[close]` the field is the index.
            let indexed = matches!(&pair.lhs, Expr::Variable(v, ..) if meaning(&v.1).is_some());
            let number = if indexed {
                names.number(&pair.rhs)
            } else {
                Some(0.0)
            };
            let back = number.and_then(|n| (0..HISTORY_MAX).find(|b| f64::from(*b) >= n));
            // One more, for what crosses.
            back.map_or(HISTORY_MAX, |back| back + 1)
        }
        Some(ASTNode::Expr(Expr::FnCall(call, _)))
            if call.op_token.is_some() || FUNCTIONS.iter().any(|f| f.name == call.name) =>
        {
            1
        }
        _ => HISTORY_MAX,
    }
}
