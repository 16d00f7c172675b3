//! Logs on stderr and, in programs built with the feature `otlp`, spans to an OpenTelemetry collector.

use crate::cli::{Cli, Command};
use std::io::IsTerminal as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt};

/// What is to be sent when the program ends; dropping it sends.
#[must_use]
pub(crate) struct Logs {
    #[cfg(feature = "otlp")]
    _spans: Option<otlp::Spans>,
}

/// Starts logging; `INFERIUM_LOG` (or `RUST_LOG`) chooses what.
pub(crate) fn init(cli: &Cli) -> Logs {
    // Of a chat, -v asks for its figures.
    let is_chat = matches!(cli.command, Command::Run(_));
    let default = match if is_chat { 0 } else { cli.verbose } {
        0 => "warn,inferium=info,inferium_worker=info,inferium_gateway=info,inferium_validator=info",
        1 => {
            "info,inferium=debug,inferium_worker=debug,inferium_gateway=debug,inferium_validator=debug,inferium_chain=debug"
        }
        _ => "debug",
    };
    let filter = cli.log.clone().or_else(|| std::env::var("RUST_LOG").ok()).unwrap_or_else(|| default.to_owned());
    let use_color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(use_color)
        .with_target(false)
        .with_filter(EnvFilter::new(filter));
    start(Registry::default().with(lines))
}

#[cfg(not(feature = "otlp"))]
fn start(lines: impl SubscriberInitExt) -> Logs {
    lines.init();
    Logs {}
}

#[cfg(feature = "otlp")]
fn start(lines: impl tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a> + Send + Sync) -> Logs {
    match otlp::Spans::begin() {
        Ok(Some((spans, layer))) => {
            lines.with(layer).init();
            Logs { _spans: Some(spans) }
        }
        Ok(None) => {
            lines.init();
            Logs { _spans: None }
        }
        Err(error) => {
            lines.init();
            tracing::error!(%error, "no spans are sent");
            Logs { _spans: None }
        }
    }
}

#[cfg(feature = "otlp")]
mod otlp {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
    use tracing::{Metadata, Subscriber};
    use tracing_opentelemetry::OpenTelemetryLayer;
    use tracing_subscriber::filter::{FilterFn, Filtered, filter_fn};
    use tracing_subscriber::{Layer as _, registry::LookupSpan};

    /// Where a collector is, as all programs that send to one are told; without either nothing is sent.
    const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];

    /// Spans on their way to a collector.
    pub(super) struct Spans(SdkTracerProvider);

    type Spanned<S> = Filtered<OpenTelemetryLayer<S, SdkTracer>, FilterFn, S>;

    impl Spans {
        pub(super) fn begin<S>() -> Result<Option<(Self, Spanned<S>)>, opentelemetry_otlp::ExporterBuildError>
        where
            S: Subscriber + for<'a> LookupSpan<'a>,
        {
            if ENDPOINTS.iter().all(|name| std::env::var_os(name).is_none()) {
                return Ok(None);
            }
            // Everything else is told by the standard's own variables as well.
            let exporter = opentelemetry_otlp::SpanExporter::builder().with_http().build()?;
            let resource = Resource::builder().with_service_name("inferium").build();
            let provider = SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build();
            let tracer = provider.tracer("inferium");
            let ours: FilterFn = filter_fn(is_ours);
            Ok(Some((Self(provider), OpenTelemetryLayer::new(tracer).with_filter(ours))))
        }
    }

    /// The exporter's own requests must not be spans that it exports.
    fn is_ours(metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("inferium")
    }

    impl Drop for Spans {
        fn drop(&mut self) {
            if let Err(error) = self.0.shutdown() {
                tracing::warn!(%error, "the last spans were not sent");
            }
        }
    }
}
