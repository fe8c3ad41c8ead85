//! A script of texts, as on the command line.

use super::Script;
use super::error::{Fault, ScriptError};
use super::exchange::{Exchange, Expect, Framing, Send};
use super::reply_end::ReplyEnd;
use super::template::Template;

/// Texts of the command line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Texts<'a> {
    /// The first message.
    pub hello: Option<&'a str>,
    /// The message.
    pub message: Option<&'a str>,
    /// How replies end.
    pub end: TextEnd<'a>,
}

/// How replies end, as given on the command line.
#[derive(Clone, Copy, Debug, Default)]
pub enum TextEnd<'a> {
    /// There are none.
    #[default]
    None,
    /// After this text.
    Until(&'a str),
    /// After this many bytes.
    Length(usize),
    /// After a line feed.
    Line,
}

impl Script {
    /// A script of one message, and of a first one, each with a reply that ends alike; as on the command line.
    ///
    /// # Errors
    /// A text has an unknown escape or placeholder: its flag, and what is wrong.
    pub fn of_texts(texts: &Texts<'_>) -> Result<Script, ScriptError> {
        let fail = |flag: &str| {
            let file = flag.to_owned();
            move |fault: Fault| ScriptError {
                file,
                place: Some((1, fault.at + 1)),
                what: fault.what,
                remedy: fault.remedy,
            }
        };
        let end = match texts.end {
            TextEnd::Until(text) => {
                let template = Template::parse(text).map_err(fail("--reply-until"))?;
                if !template.is_constant() || template.is_empty() {
                    let fault = Fault::new("the end of a reply is not constant", "give the bytes");
                    return Err(fail("--reply-until")(fault));
                }
                Some(ReplyEnd::Until(template.prefix().to_vec()))
            }
            TextEnd::Length(length) => Some(ReplyEnd::Length(length)),
            TextEnd::Line => Some(ReplyEnd::Line),
            TextEnd::None => None,
        };
        let exchange = |flag: &str, text: &str| {
            let template = Template::parse(text).map_err(fail(flag))?;
            let send = Send {
                template,
                framing: Framing::None,
            };
            let checks = Vec::new();
            let expect = end.clone().map(|end| Expect { end, checks });
            Ok(Exchange {
                send: Some(send),
                expect,
            })
        };
        let hello = texts
            .hello
            .map(|text| exchange("--hello", text))
            .transpose()?;
        let message = texts.message.map(|text| exchange("--message", text));
        Ok(Script {
            name: "command line".to_owned(),
            hello: hello.into_iter().collect(),
            message: message.transpose()?,
            keepalive: None,
        })
    }
}
