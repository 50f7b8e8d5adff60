//! Which paths does a source file name? Lexed by proc-macro2, so comments, docs and strings do not count; code in macro calls does.

use std::iter::Peekable;

use proc_macro2::{TokenStream, TokenTree, token_stream};

/// A path as the file means it, and the line that holds it.
#[derive(Debug, PartialEq)]
pub(crate) struct Named {
    /// Whether `segments` starts at the crate's root; otherwise it starts at another crate or a local name.
    pub(crate) ours: bool,
    /// `["loader", "Ring"]` for `crate::loader::Ring`; a glob import ends in `"*"`.
    pub(crate) segments: Vec<String>,
    /// Counted from 1.
    pub(crate) line: usize,
}

/// Every path in `source`, the file of module `module` (`["nn", "head"]`); `use` trees are spread out,
/// `crate`, `self` and `super` resolved.
pub(crate) fn named(module: &[&str], source: &str) -> Vec<Named> {
    let tokens: TokenStream = source.parse().expect("the sources compile, so they lex");
    let mut scan = Scan { module: module.iter().map(|&name| name.to_owned()).collect(), found: Vec::new() };
    scan.code(tokens);
    scan.found
}

type Tokens = Peekable<token_stream::IntoIter>;

struct Scan {
    /// The module at the cursor: the file's and the inline ones around it.
    module: Vec<String>,
    found: Vec<Named>,
}

impl Scan {
    fn code(&mut self, stream: TokenStream) {
        let mut tokens = stream.into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Group(group) => self.code(group.stream()),
                TokenTree::Ident(word) if word == "use" => {
                    skip_colons(&mut tokens);
                    self.use_tree(&mut tokens, Vec::new());
                }
                TokenTree::Ident(word) if word == "mod" => self.inline_module(&mut tokens),
                TokenTree::Ident(word) => {
                    let line = word.span().start().line;
                    let mut path = vec![word.to_string()];
                    while skip_colons(&mut tokens) {
                        let Some(TokenTree::Ident(next)) = tokens.peek() else { break };
                        path.push(next.to_string());
                        tokens.next();
                    }
                    // A lone word is no path.
                    if path.len() > 1 {
                        self.push(path, line);
                    }
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }

    /// `mod name { .. }` moves the cursor; `mod name;` is another file.
    fn inline_module(&mut self, tokens: &mut Tokens) {
        let Some(TokenTree::Ident(name)) = tokens.next() else { return };
        if let Some(TokenTree::Group(_)) = tokens.peek()
            && let Some(TokenTree::Group(body)) = tokens.next()
        {
            self.module.push(name.to_string());
            self.code(body.stream());
            self.module.pop();
        }
    }

    /// One tree of a `use`, up to its `,` or `;`: `a::b`, `a::{b, c as d}`, `a::*`.
    fn use_tree(&mut self, tokens: &mut Tokens, mut path: Vec<String>) {
        let mut line = 0;
        for token in tokens.by_ref() {
            match token {
                TokenTree::Ident(word) if word == "as" => break,
                TokenTree::Ident(word) => {
                    line = word.span().start().line;
                    path.push(word.to_string());
                }
                TokenTree::Punct(mark) if mark.as_char() == '*' => {
                    line = mark.span().start().line;
                    path.push("*".to_owned());
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => {}
                TokenTree::Group(group) => {
                    let mut inner = group.stream().into_iter().peekable();
                    while inner.peek().is_some() {
                        self.use_tree(&mut inner, path.clone());
                    }
                    path.clear();
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.push(path, line);
                    return;
                }
            }
        }
        self.push(path, line);
        // After `as`: the new name and what ends the tree.
        tokens.by_ref().find(|token| matches!(token, TokenTree::Punct(mark) if matches!(mark.as_char(), ',' | ';')));
    }

    fn push(&mut self, path: Vec<String>, line: usize) {
        let Some(first) = path.first() else { return };
        let ups = path.iter().take_while(|segment| *segment == "super").count();
        let (base, rest) = match first.as_str() {
            "crate" => (&[][..], 1),
            "self" | "super" => (&self.module[..self.module.len().saturating_sub(ups)], ups.max(1)),
            _ => return self.found.push(Named { ours: false, segments: path, line }),
        };
        let segments = base.iter().chain(&path[rest..]).cloned().collect();
        self.found.push(Named { ours: true, segments, line });
    }
}

fn skip_colons(tokens: &mut Tokens) -> bool {
    let colon = |token: &TokenTree| matches!(token, TokenTree::Punct(mark) if mark.as_char() == ':');
    tokens.next_if(colon).is_some() && tokens.next_if(colon).is_some()
}
