//! The first page, which teaches by doing, and the playground.

use super::Page;
use crate::WebState;
use crate::layout::{Section, figure, grouped};
use crate::respond::Form;
use axum::{extract::State, response::Response};
use inferium_types::Amount;
use maud::{Markup, html};
use serde_json::json;

pub(super) async fn start(State(state): State<WebState>, form: Form) -> Response {
    let (height, jobs, tokens, fees, nodes, approved, slashes) = {
        let books = state.index.read();
        let slashes = books.slashes.counts().0;
        let height = books.head().map_or(0, |block| block.header.height);
        (
            height,
            books.jobs_all,
            books.tokens_all,
            books.fees_all,
            books.boards.nodes().len(),
            books.slashes.approved,
            slashes,
        )
    };
    let json = json!({
        "network_key": state.chain.network_key().to_string(), "height": height, "jobs_final": jobs,
        "tokens_final": tokens, "fees_nano": fees, "nodes": nodes, "segments_settled": approved, "slashes": slashes,
    });
    let html = html! {
        section.hero {
            p.eyebrow { "An inference network that shows its work" }
            h1 { "Ask anything." br; "Then " em { "check" } " the answer." }
            p.lead {
                "Your question goes to a machine that nobody vouches for. Validators replay its answer bit for bit, a "
                "blockchain makes their verdict final, and this page verifies the proof itself — from one public key."
            }
            (ask())
        }
        (journey())
        section.figures aria-label="The network so far" {
            (figure("Final blocks", &html! { span data-head="" { (grouped(height)) } }, "each certified by the group"))
            (figure("Answers checked", &html! { (grouped(jobs)) }, "replayed to equality"))
            (figure("Tokens", &html! { (grouped(tokens)) }, "prompts and answers"))
            (figure("Earned by nodes", &html! { (crate::layout::money(Amount::from_nano(fees))) }, "for work that held"))
        }
        section.ways {
            a.card href="/studios" { h2 { "Studios" } p { "Agents that anyone publishes and anyone runs: each run driven again by a committee, its fee split on the chain." } }
            a.card href="/playground" { h2 { "Playground" } p { "Chat with a model, set its parameters, and keep a verified receipt of every answer." } }
            a.card href="/explorer" { h2 { "Explorer" } p { "Blocks, tasks and verdicts as they happen, each in words and as data." } }
            a.card href="/wallet" { h2 { "Wallet" } p { "Your key stays in this browser. You read what you sign before you sign it." } }
        }
    };
    let mut page = Page::new("Ask, then check", Section::Start, html, json);
    page.scripts = &["js/start.js"];
    state.send(form, Ok(page))
}

fn ask() -> Markup {
    html! {
        form.ask #ask novalidate {
            label.unseen for="question" { "Your question" }
            textarea #question name="question" rows="2" maxlength="2000" required { "Why is the sky blue?" }
            div.row {
                (key_field())
                button.primary type="submit" { "Ask the network" }
            }
            p.error #ask-error role="alert" {}
        }
    }
}

/// Where the API key goes: it stays in this tab.
pub(super) fn key_field() -> Markup {
    html! {
        label.keyed { span { "API key" }
            input type="password" name="key" data-api-key="" autocomplete="off" spellcheck="false" placeholder="sk-inferium-…" aria-describedby="key-note";
        }
        p.unseen #key-note { "It stays in this tab and is sent to this gateway alone. `inferium up` prints it." }
    }
}

/// What happens to an answer, step by step; the script fills it in.
fn journey() -> Markup {
    let steps = [
        ("answer", "A worker answers", "It streams at once, and is provisional: nobody has checked it yet."),
        ("signed", "Both sides sign", "Worker and gateway put request and result under one Merkle root."),
        ("committed", "The chain holds it", "The root is in a block. It can't be changed any more."),
        ("checked", "Validators replay it", "A committee drawn by chance computes every token again, each on its own."),
        ("final", "It is final", "The block with their verdict is certified by the group's key."),
        ("verified", "You check the proof", "This page verifies the whole chain of evidence, without asking anyone."),
    ];
    html! {
        section.journey #journey hidden aria-labelledby="journey-title" {
            h2.unseen #journey-title { "What happens to the answer" }
            figure.answer { figcaption { "Answer" span #answer-state { } } blockquote #answer aria-live="polite" {} }
            ol.steps aria-live="polite" {
                @for (index, (name, title, text)) in steps.iter().enumerate() {
                    li data-step=(name) { span.dot aria-hidden="true" { (index + 1) } div { h3 { (title) } p { (text) } div.detail {} } }
                }
            }
            div.break #break hidden {
                div {
                    h2 { "Now break it" }
                    p { "Every byte of the receipt matters. Click one, and see which check fails." }
                    div.bytes #bytes role="group" aria-label="Bytes of the proof: choose one to change it" {}
                    p.row { button type="button" #mend disabled { "Put the byte back" } button type="button" #elsewhere { "Show other bytes" } a.button.quiet #permalink href="/explorer" { "The receipt's own page" } }
                }
                div #verdict role="status" {}
            }
        }
    }
}

pub(super) async fn playground(State(state): State<WebState>, form: Form) -> Response {
    let html = html! {
        h1.unseen { "Playground" }
        div.playground {
            section.talk aria-label="Conversation" {
                div.turns #turns role="log" aria-live="polite" {
                    p.empty #no-turns { "Say something to begin. Each answer carries its receipt, checked here once the network has judged it." }
                }
                form.say #say {
                    label.unseen for="message" { "Message" }
                    textarea #message rows="2" placeholder="Message the model…" required {}
                    div.row {
                        button type="button" #clear { "Clear" }
                        button type="button" #code { "View code" }
                        button.danger type="button" #stop hidden { "Stop" }
                        button.primary type="submit" #send { "Send" }
                    }
                }
                p.error #say-error role="alert" {}
            }
            aside.settings aria-label="Parameters" {
                h2 { "Parameters" }
                (key_field())
                label { span { "Model" } select #model name="model" {} }
                label { span { "Instructions" } textarea #system rows="3" placeholder="You are a helpful assistant." {} }
                (slider("temperature", "Temperature", "0", "2", "0.05", "0.7"))
                (slider("top_p", "Top p", "0.05", "1", "0.05", "1"))
                label.pair { span { "Answer at most" } input #max_tokens type="number" min="1" max="4096" value="160"; }
                label.pair { span { "Seed" } input #seed type="number" min="0" placeholder="the worker's VRF"; }
            }
        }
        dialog #code-dialog aria-labelledby="code-title" {
            div.row { h2 #code-title { "The same request" } button type="button" data-close="" aria-label="Close" { "✕" } }
            div.tabs role="tablist" aria-label="Language" {
                @for (name, title, first) in [("curl", "curl", true), ("python", "Python", false), ("js", "JavaScript", false)] {
                    button type="button" role="tab" data-code=(name) aria-selected=(first) aria-controls="code-text" { (title) }
                }
            }
            pre #code-text role="tabpanel" tabindex="0" {}
        }
    };
    let json = json!({"models": "/v1/models", "chat": "/v1/chat/completions", "receipts": "/v1/receipts/{job}"});
    let mut page = Page::new("Playground", Section::Playground, html, json);
    page.scripts = &["js/playground.js"];
    state.send(form, Ok(page))
}

fn slider(id: &str, name: &str, min: &str, max: &str, step: &str, value: &str) -> Markup {
    html! {
        label.slider { span { (name) output for=(id) { (value) } } input id=(id) type="range" min=(min) max=(max) step=(step) value=(value); }
    }
}
