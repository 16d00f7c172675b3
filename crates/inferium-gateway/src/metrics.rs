//! Prometheus metrics of the gateway.

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::{
    counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, histogram::exponential_buckets,
};
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// Label of a count of answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct StatusLabel {
    pub(crate) status: u16,
}

/// Label of what is measured of one model.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ModelLabel {
    pub(crate) model: String,
}

/// What is measured of each model.
#[derive(Debug, Default)]
pub(crate) struct ModelMetrics {
    pub(crate) jobs: Family<ModelLabel, Counter>,
    pub(crate) running: Family<ModelLabel, Gauge>,
    pub(crate) prompt_tokens: Family<ModelLabel, Counter>,
    pub(crate) completion_tokens: Family<ModelLabel, Counter>,
}

impl ModelMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register("model_jobs", "Jobs of a model that ended with a result", self.jobs.clone());
        registry.register("model_jobs_running", "Jobs of a model that workers are at", self.running.clone());
        registry.register("model_prompt_tokens", "Tokens of prompts of a model", self.prompt_tokens.clone());
        registry.register("model_completion_tokens", "Tokens of answers of a model", self.completion_tokens.clone());
    }
}

/// Histograms of seconds, one for each model.
type Seconds = Family<ModelLabel, Histogram, fn() -> Histogram>;

/// From half a millisecond to a minute.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_5, 2.0, 18))
}

/// All of the gateway's metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) requests: Family<StatusLabel, Counter>,
    pub(crate) prompt_tokens: Counter,
    pub(crate) completion_tokens: Counter,
    pub(crate) hedges: Counter,
    pub(crate) jobs_running: Gauge,
    pub(crate) leases_ready: Gauge,
    pub(crate) chain_height: Gauge,
    pub(crate) segments_final: Counter,
    pub(crate) segments_rejected: Counter,
    pub(crate) first_token: Histogram,
    pub(crate) job_seconds: Histogram,
    /// Jobs that ended with a result.
    pub(crate) jobs: Counter,
    /// Requests that wait for a lease with room.
    pub(crate) waiting: Gauge,
    pub(crate) models: ModelMetrics,
    /// From a request's way to its worker to the first piece of its answer.
    pub(crate) model_first_token: Seconds,
    pub(crate) inter_token: Seconds,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("inferium");
        let requests = Family::<StatusLabel, Counter>::default();
        registry.register("requests", "Answered API requests by HTTP status", requests.clone());
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let prompt_tokens = counter("prompt_tokens", "Tokens of prompts");
        let completion_tokens = counter("completion_tokens", "Tokens of answers");
        let hedges = counter("hedges", "Slow jobs that a second worker was asked for");
        let segments_final = counter("segments_final", "Segments that committees approved");
        let segments_rejected = counter("segments_rejected", "Segments that were not approved");
        let jobs = counter("jobs", "Jobs that ended with a result");
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let jobs_running = gauge("jobs_running", "Jobs that workers are at");
        let leases_ready = gauge("leases_ready", "Leases with a connected worker");
        let chain_height = gauge("chain_height", "Height of the newest verified block");
        let waiting = gauge("requests_waiting", "Requests that wait for a lease with room");
        let models = ModelMetrics::default();
        models.register(&mut registry);
        let mut of_models = |name: &str, help: &str| {
            let family = Seconds::new_with_constructor(seconds as fn() -> Histogram);
            registry.register_with_unit(name, help, Unit::Seconds, family.clone());
            family
        };
        let model_first_token =
            of_models("model_time_to_first_token", "From the job's way to its worker to the first piece of the answer");
        let inter_token = of_models("inter_token", "Between two tokens of an answer");
        let mut histogram = |name: &str, help: &str| {
            let histogram = seconds();
            registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
            histogram
        };
        let first_token = histogram("time_to_first_token", "From request to first piece of the answer");
        let job_seconds = histogram("job_duration", "From request to the end of the answer");
        Self {
            registry,
            requests,
            prompt_tokens,
            completion_tokens,
            hedges,
            jobs_running,
            leases_ready,
            chain_height,
            segments_final,
            segments_rejected,
            first_token,
            job_seconds,
            jobs,
            waiting,
            models,
            model_first_token,
            inter_token,
        }
    }

    pub(crate) fn observe_first_token(&self, elapsed: Duration) {
        self.first_token.observe(elapsed.as_secs_f64());
    }

    /// OpenMetrics text.
    pub(crate) fn encode(&self) -> String {
        let mut out = String::new();
        // Writing to a String can't fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}
