#include "daemon/requests/conversions.h"

#include <grpcpp/support/status.h>

#include <utility>

namespace hearth {
namespace {

v1::ModelState ToProto(ModelState state) {
  switch (state) {
    case ModelState::kLoading:
      return v1::MODEL_STATE_LOADING;
    case ModelState::kReady:
      return v1::MODEL_STATE_READY;
    case ModelState::kFailed:
      return v1::MODEL_STATE_FAILED;
    case ModelState::kUnloading:
      return v1::MODEL_STATE_UNLOADING;
  }
  return v1::MODEL_STATE_UNSPECIFIED;
}

v1::HostState ToProto(HostState state) {
  switch (state) {
    case HostState::kJoining:
      return v1::HOST_STATE_JOINING;
    case HostState::kAlive:
      return v1::HOST_STATE_ALIVE;
    case HostState::kLost:
      return v1::HOST_STATE_LOST;
  }
  return v1::HOST_STATE_UNSPECIFIED;
}

v1::FinishReason ToProto(EndReason reason) {
  switch (reason) {
    case EndReason::kStopToken:
      return v1::FINISH_REASON_STOP_TOKEN;
    case EndReason::kStopString:
      return v1::FINISH_REASON_STOP_STRING;
    case EndReason::kLength:
      return v1::FINISH_REASON_LENGTH;
    case EndReason::kCancelled:
      return v1::FINISH_REASON_CANCELLED;
    case EndReason::kDeadline:
      return v1::FINISH_REASON_DEADLINE;
    case EndReason::kSlowReader:  // ends with a status, never with Finished
    case EndReason::kEmbedded:    // of no generation
      break;
  }
  return v1::FINISH_REASON_UNSPECIFIED;
}

v1::DeviceStatus ToProto(const DeviceView& device) {
  v1::DeviceStatus result;
  result.set_name(device.name);
  result.set_kind(device.kind);
  result.set_memory_budget_bytes(device.memory_budget_bytes);
  result.set_memory_used_bytes(device.memory_used_bytes);
  result.set_threads(device.threads);
  result.set_read_bytes_per_second(device.read_bytes_per_second);
  result.set_operations_per_second(device.operations_per_second);
  return result;
}

v1::HostStatus ToProto(const HostView& host) {
  v1::HostStatus result;
  result.set_name(host.name);
  result.set_address(host.address);
  result.set_state(ToProto(host.state));
  result.set_coordinator(host.coordinator);
  result.set_detail(host.detail);
  result.set_last_sync_ms(host.last_sync_ms);
  result.set_cores(host.cores);
  result.set_memory_bytes(host.memory_bytes);
  result.set_memory_free_bytes(host.memory_free_bytes);
  result.set_version(host.version);
  result.set_clock_unix_ms(host.clock_unix_ms);
  result.set_weights_fetched_bytes(host.weights_fetched_bytes);
  result.set_groups_from_cache(host.groups_from_cache);
  for (const DeviceView& device : host.devices) *result.add_devices() = ToProto(device);
  return result;
}

v1::LinkStatus ToProto(const LinkView& link) {
  v1::LinkStatus result;
  result.set_from(link.from);
  result.set_to(link.to);
  result.set_round_trip_us(link.round_trip_us);
  result.set_bytes_per_second(link.bytes_per_second);
  return result;
}

v1::TransferStatus ToProto(const TransferView& transfer) {
  v1::TransferStatus result;
  result.set_host(transfer.host);
  result.set_model(transfer.model);
  result.set_bytes_done(transfer.bytes_done);
  result.set_bytes_total(transfer.bytes_total);
  result.set_detail(transfer.detail);
  return result;
}

v1::DeviceShare ToProto(const DeviceShareView& share) {
  v1::DeviceShare result;
  result.set_host(share.host);
  result.set_device(share.device);
  result.set_weight_bytes(share.weight_bytes);
  result.mutable_neurons()->Assign(share.neurons.begin(), share.neurons.end());
  result.mutable_neurons_computed()->Assign(share.neurons_computed.begin(), share.neurons_computed.end());
  result.mutable_neurons_offered()->Assign(share.neurons_offered.begin(), share.neurons_offered.end());
  result.set_bytes_touched(share.bytes_touched);
  result.set_round_trips(share.round_trips);
  result.set_wait_us(share.wait_us);
  result.set_head_groups(share.head_groups);
  result.set_output_runs(share.output_runs);
  if (share.disk.memory_bytes > 0) {
    v1::DiskWork& disk = *result.mutable_disk();
    disk.set_hits(share.disk.hits);
    disk.set_misses(share.disk.misses);
    disk.set_evictions(share.disk.evictions);
    disk.set_reads(share.disk.reads);
    disk.set_bytes_read(share.disk.bytes_read);
    disk.set_wait_us(share.disk.wait_us);
    disk.set_memory_bytes(share.disk.memory_bytes);
  }
  return result;
}

void SetLogprob(const GenerationDelta::Token& from, v1::TokenLogprob* to) {
  to->set_token(from.token);
  to->set_logprob(from.logprob);
  to->set_text(from.text);
}

}  // namespace

v1::ModelStatus ToProto(const ModelInfo& model) {
  v1::ModelStatus result;
  result.set_name(model.name);
  result.set_path(model.path);
  result.set_digest(model.digest);
  result.set_architecture(model.architecture);
  result.set_state(ToProto(model.state));
  result.set_detail(model.detail);
  result.set_bytes_done(model.bytes_done);
  result.set_bytes_total(model.bytes_total);
  result.set_context_length(model.context_length);
  result.set_vocabulary_size(model.vocab_size);
  result.set_sparsity(model.sparsity);
  result.set_sparsity_why(model.sparsity_why);
  result.set_quantisation(model.quantisation);
  result.set_plan_epoch(model.plan_epoch);
  result.set_objective(placement::ObjectiveText(model.objective));
  for (const AdapterSource& adapter : model.adapters) result.add_adapters(AdapterText(adapter));
  if (model.draft.empty()) return result;
  result.set_draft(model.draft);
  result.set_draft_state(ToProto(model.draft_state));
  result.set_draft_detail(model.draft_detail);
  return result;
}

v1::PlanStatus ToProto(const PlanView& plan) {
  v1::PlanStatus result;
  result.set_model(plan.model);
  result.set_epoch(plan.epoch);
  result.set_active(plan.active);
  result.set_expected_token_ms(plan.expected_token_ms);
  result.set_measured_token_ms(plan.measured_token_ms);
  result.set_explanation(plan.explanation);
  result.set_layers(plan.layers);
  for (const DeviceShareView& share : plan.shares) *result.add_shares() = ToProto(share);
  result.set_objective(placement::ObjectiveText(plan.objective));
  result.set_expected_tokens_per_second(plan.expected_tokens_per_second);
  result.set_measured_tokens_per_second(plan.measured_tokens_per_second);
  if (!plan.firing) return result;
  v1::FiringStatus& firing = *result.mutable_firing();
  firing.set_rows(plan.firing->rows);
  firing.set_firing_share(plan.firing->firing_share);
  firing.set_hot_share_expected(plan.firing->hot_share_expected);
  firing.set_hot_share_seen(plan.firing->hot_share_seen);
  return result;
}

v1::AwayHost ToProto(const AwayHostView& host) {
  v1::AwayHost result;
  result.set_name(host.name);
  result.mutable_macs()->Assign(host.macs.begin(), host.macs.end());
  if (host.wakes) result.set_wakes(*host.wakes);
  if (host.woken > absl::InfinitePast()) result.set_woken_unix_seconds(absl::ToUnixSeconds(host.woken));
  return result;
}

v1::WakeResponse ToProto(const WokenHosts& woken) {
  v1::WakeResponse result;
  for (const AwayHostView& host : woken.hosts) *result.add_hosts() = ToProto(host);
  result.mutable_broadcasts()->Assign(woken.broadcasts.begin(), woken.broadcasts.end());
  return result;
}

v1::ClusterStatus ToProto(const ClusterSnapshot& cluster) {
  v1::ClusterStatus result;
  for (const HostView& host : cluster.hosts) *result.add_hosts() = ToProto(host);
  for (const LinkView& link : cluster.links) *result.add_links() = ToProto(link);
  for (const TransferView& transfer : cluster.transfers) *result.add_transfers() = ToProto(transfer);
  for (const PlanView& plan : cluster.plans) *result.add_plans() = ToProto(plan);
  for (const AwayHostView& host : cluster.away) *result.add_away() = ToProto(host);
  return result;
}

v1::ExpectedPlan ToProto(const ExpectedPlan& plan) {
  v1::ExpectedPlan result;
  result.set_tokens_per_second(plan.tokens_per_second);
  result.set_weight_bytes(plan.weight_bytes);
  result.set_context_length(plan.context_length);
  result.mutable_hosts()->Assign(plan.hosts.begin(), plan.hosts.end());
  result.set_others_give_way(plan.others_give_way);
  return result;
}

v1::Delta ToProto(GenerationDelta delta) {
  v1::Delta result;
  result.set_offset(delta.offset);
  result.set_text(std::move(delta.text));
  result.mutable_tokens()->Assign(delta.tokens.begin(), delta.tokens.end());
  for (const GenerationDelta::Logprobs& logprobs : delta.logprobs) {
    v1::TokenLogprobs* entry = result.add_logprobs();
    SetLogprob(logprobs.chosen, entry->mutable_chosen());
    for (const GenerationDelta::Token& top : logprobs.top) SetLogprob(top, entry->add_top());
  }
  return result;
}

v1::Finished ToProto(const GenerationSummary& summary) {
  v1::Finished result;
  result.set_reason(ToProto(summary.reason));
  result.set_stop(summary.stop);
  result.mutable_usage()->set_prompt_tokens(summary.prompt_tokens);
  result.mutable_usage()->set_generated_tokens(summary.generated_tokens);
  result.mutable_usage()->set_cached_tokens(summary.cached_tokens);
  result.mutable_usage()->set_drafted_tokens(summary.drafted_tokens);
  result.mutable_usage()->set_accepted_draft_tokens(summary.accepted_draft_tokens);
  result.mutable_timings()->set_queue_ms(absl::ToDoubleMilliseconds(summary.queued));
  result.mutable_timings()->set_prompt_ms(absl::ToDoubleMilliseconds(summary.reading_prompt));
  result.mutable_timings()->set_generate_ms(absl::ToDoubleMilliseconds(summary.generating));
  return result;
}

v1::Pooling ToProto(Pooling pooling) {
  switch (pooling) {
    case Pooling::kMean:
      return v1::POOLING_MEAN;
    case Pooling::kCls:
      return v1::POOLING_CLS;
    case Pooling::kLast:
      return v1::POOLING_LAST;
  }
  return v1::POOLING_UNSPECIFIED;
}

std::optional<Pooling> FromProto(v1::Pooling pooling) {
  for (const Pooling known : {Pooling::kMean, Pooling::kCls, Pooling::kLast}) {
    if (ToProto(known) == pooling) return known;
  }
  return std::nullopt;
}

ModelFigures FromProto(const v1::ModelFigures& figures) {
  return {.architecture = figures.architecture(),
          .weights = figures.weights(),
          .layers = figures.layers(),
          .embedding = figures.embedding(),
          .feed_forward = figures.feed_forward(),
          .heads = figures.heads(),
          .kv_heads = figures.kv_heads(),
          .head_size = figures.head_size(),
          .vocabulary = figures.vocabulary(),
          .context = figures.context(),
          .window = figures.window(),
          .experts = figures.experts(),
          .experts_used = figures.experts_used(),
          .own_output = figures.own_output(),
          .attention_bias = figures.attention_bias(),
          .relu = figures.relu()};
}

}  // namespace hearth
