#include "daemon/model_tool/session.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/capacity/capacity.h"
#include "daemon/capacity/device_option.h"
#include "daemon/capacity/gpu_option.h"
#include "daemon/planning/model_description.h"
#include "engine/base/status_macros.h"
#include "engine/device/gpu_device.h"
#include "engine/device/weight_source.h"
#include "engine/neuron/profile_file.h"
#include "engine/outline/default_sparsity.h"
#include "engine/spec/spec.h"
#include "placement/plan.h"

namespace hearth::model_tool {
namespace {

constexpr uint32_t kUsualSessionContext = 512;
constexpr uint32_t kMaxRows = 512;
// Rows whose logits are wanted at once: with large vocabularies these are the largest buffer.
constexpr size_t kMaxLogitRows = 64;
constexpr uint64_t kNoLimit = uint64_t{1} << 50;
// Devices of unknown speed count alike; only the ratio matters.
constexpr double kAssumedBytesPerSecond = 1e10;
constexpr double kAmpleOperationsPerSecond = 1e15;

absl::StatusOr<uint32_t> ContextLength(const ModelFlags& flags, uint64_t positions, const GgufFile& file) {
  HEARTH_ASSIGN_OR_RETURN(const uint64_t usual, ChooseContext(flags.context, kUsualSessionContext, file));
  const uint64_t context = flags.context > 0 ? flags.context : std::max(usual, positions);
  if (positions > context) {
    return absl::OutOfRangeError(absl::StrCat(positions, " tokens do not fit the context of ", context,
                                              "; give a larger --context or fewer tokens"));
  }
  if (context > (uint64_t{1} << 24)) {
    return absl::OutOfRangeError(absl::StrCat(positions, " tokens are more than a context can hold"));
  }
  return static_cast<uint32_t>(context);
}

// One CPU device with all threads, or those of --devices: threads that are not given are shared out evenly.
absl::StatusOr<std::vector<DeviceOption>> ChooseDevices(const std::string& spec, int threads) {
  std::vector<DeviceOption> options(1);
  options[0].name = "cpu";
  if (!spec.empty()) {
    HEARTH_ASSIGN_OR_RETURN(options, ParseDeviceOptions(spec));
  }
  // The leader's own work is done by the first CPU's threads.
  std::stable_partition(options.begin(), options.end(), IsCpu);
  int free_threads = threads, open = 0;
  for (const DeviceOption& option : options) {
    if (option.threads.value_or(0) > MostThreads()) {
      return absl::InvalidArgumentError(absl::StrCat("--devices: ", option.name, " has ", *option.threads,
                                                     " threads; at most ", MostThreads(), " are allowed"));
    }
    free_threads -= option.threads.value_or(0);
    open += option.threads || !IsCpu(option) ? 0 : 1;
  }
  for (DeviceOption& option : options) {
    if (option.threads || !IsCpu(option)) continue;
    option.threads = std::max(1, free_threads / open);
    free_threads -= *option.threads;
    --open;
  }
  return options;
}

// What the program takes beside its devices' weights and caches: code, threads, activations.
uint64_t OwnBytes(const ModelOutline& outline, const DecoderOptions& options) {
  constexpr uint64_t kProgramBytes = uint64_t{64} << 20;
  const uint64_t row_values = uint64_t{24} * outline.spec.n_embd;
  const uint64_t logits =
      uint64_t{outline.spec.n_vocab} * std::min<uint64_t>(options.max_rows, kMaxLogitRows);
  return kProgramBytes + outline.leader_bytes_per_token +
         (row_values * options.max_rows + logits) * sizeof(float);
}

// `memory_bytes`: of the program, 0 without a limit.
absl::StatusOr<std::vector<HostDeviceSpec>> OpenDevices(const std::vector<DeviceOption>& options,
                                                        uint64_t memory_bytes, uint64_t own_bytes) {
  std::vector<HostDeviceSpec> specs;
  for (const DeviceOption& option : options) {
    if (IsDisk(option)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--devices: ", option.name,
                       " is a disk, for hearthd; --memory leaves neurons on the "
                       "disk here"));
    }
    HostDeviceSpec spec{option.name, option.threads.value_or(1)};
    spec.pace_bytes_per_s = option.pace_bytes_per_s.value_or(0);
    if (memory_bytes > 0) {
      spec.memory_bytes = memory_bytes - std::min(memory_bytes, own_bytes);
      spec.uses_disk = true;
    }
    if (!IsCpu(option)) {
      HEARTH_ASSIGN_OR_RETURN(spec.gpu, OpenGpuOption(option));
    }
    specs.push_back(std::move(spec));
  }
  return specs;
}

// The devices as placement sees them. Beside a GPU speeds are measured, so that it gets what it computes
// faster.
absl::StatusOr<placement::Cluster> OneHost(const std::vector<DeviceOption>& options,
                                           const std::vector<HostDeviceSpec>& specs,
                                           const ModelOutline& outline,
                                           const DecoderOptions& decoder_options) {
  placement::Host host{"local", {}, {}};
  for (const DeviceOption& option : options) {
    host.devices.push_back({.name = option.name,
                            .kind = option.kind,
                            .memory_bytes = option.memory_bytes.value_or(kNoLimit),
                            .read_bytes_per_s = option.read_bytes_per_s.value_or(kAssumedBytesPerSecond),
                            .operations_per_s = kAmpleOperationsPerSecond});
  }
  if (std::all_of(options.begin(), options.end(), IsCpu)) return placement::Cluster{{std::move(host)}, 0};
  const HostCapacity measured = MeasureHost(specs, options);
  for (size_t i = 0; i < specs.size(); ++i) {
    placement::Device& device = host.devices[i];
    device.read_bytes_per_s = measured.devices[i].read_bytes_per_s;
    device.operations_per_s = measured.devices[i].operations_per_s;
    device.dispatch_us = measured.devices[i].dispatch_us;
    if (specs[i].gpu != nullptr) {
      device.memory_bytes = GpuDevice::WeightBudget(specs[i].gpu->budget_bytes(), outline, decoder_options);
    }
  }
  return placement::Cluster{{std::move(host)}, 0};
}

// What each of the host's devices holds.
std::vector<DeviceShare> SharesOf(const placement::Plan& plan, const ModelOutline& outline) {
  std::vector<DeviceShare> shares(plan.devices.size(), DeviceShare::Nothing(outline.spec.n_layers));
  for (size_t section = 0; section < plan.assignment.size(); ++section) {
    const std::vector<uint32_t>& devices = plan.assignment[section];
    for (uint32_t g = 0; g < devices.size(); ++g) shares[devices[g]].Add(UnitOf(plan.sections[section], g));
  }
  return shares;
}

}  // namespace

absl::StatusOr<SparsityMode> ChooseSparsity(const std::string& name, const GgufFile& file,
                                            const ModelOptions& options) {
  if (name == "dense") return SparsityMode::kDense;
  if (name == "exact") return SparsityMode::kExact;
  if (name == "predicted") return SparsityMode::kPredicted;
  HEARTH_ASSIGN_OR_RETURN(const SparsityChoice choice, DefaultSparsity(file, options));
  return choice.mode;
}

absl::StatusOr<std::unique_ptr<Session>> Session::Open(const ModelFlags& flags, uint64_t positions,
                                                       uint32_t sequences) {
  std::unique_ptr<Session> session(new Session());
  HEARTH_ASSIGN_OR_RETURN(session->file_, GgufFile::Open(flags.path));
  session->threads_ = flags.threads > 0 ? flags.threads : ThreadPool::AvailableCores();
  HEARTH_ASSIGN_OR_RETURN(const uint32_t context, ContextLength(flags, positions, *session->file_));
  HEARTH_ASSIGN_OR_RETURN(const std::vector<DeviceOption> options,
                          ChooseDevices(flags.devices, session->threads_));
  session->pool_ = std::make_unique<ThreadPool>(options.front().threads.value_or(session->threads_));

  ModelOptions model_options;
  if (flags.use_profile) {
    HEARTH_ASSIGN_OR_RETURN(model_options.profile, FindProfile(flags.profile_path, *session->file_));
  }
  HEARTH_ASSIGN_OR_RETURN(model_options.adapter, OpenAdapters(flags.adapters, *session->file_));
  model_options.arithmetic = flags.arithmetic_mode();
  model_options.context_length = context;
  model_options.rope_scaling = flags.rope_scaling;
  HEARTH_ASSIGN_OR_RETURN(model_options.sparsity,
                          ChooseSparsity(flags.sparsity, *session->file_, model_options));
  HEARTH_ASSIGN_OR_RETURN(session->model_, Model::Load(session->file_, model_options, *session->pool_));
  if (const uint32_t trained = session->model_->spec().context_length; trained > 0 && positions > trained) {
    std::fprintf(stderr, "note: %s tokens are more than the %s that the model was trained for\n",
                 absl::StrCat(positions).c_str(), absl::StrCat(trained).c_str());
  }

  const DecoderOptions decoder_options{
      .sequences = sequences,
      .context_length = context,
      // Texts of models that embed are read whole.
      .max_rows = std::max(sequences, session->model_->spec().causal ? std::min(kMaxRows, context) : context),
      .kv_type = flags.kv(),
  };
  HEARTH_ASSIGN_OR_RETURN(session->decoder_,
                          Decoder::Create(session->model_, decoder_options, *session->pool_));
  HEARTH_RETURN_IF_ERROR(session->MakeDevices(flags, decoder_options));
  session->decoder_->SetDevices(session->share_->devices());
  return session;
}

absl::Status Session::MakeDevices(const ModelFlags& flags, const DecoderOptions& decoder_options) {
  HEARTH_ASSIGN_OR_RETURN(const std::vector<DeviceOption> options, ChooseDevices(flags.devices, threads_));
  const ModelOutline& outline = model_->outline();
  HEARTH_ASSIGN_OR_RETURN(placement::Model description, DescribeModel(outline, decoder_options));
  description.leader_memory_bytes = 0;  // budgets limit what is placed
  HEARTH_ASSIGN_OR_RETURN(const std::vector<HostDeviceSpec> specs,
                          OpenDevices(options, flags.memory_bytes, OwnBytes(outline, decoder_options)));
  HEARTH_ASSIGN_OR_RETURN(const placement::Cluster cluster,
                          OneHost(options, specs, outline, decoder_options));
  HEARTH_ASSIGN_OR_RETURN(const placement::Plan plan, placement::MakePlan(cluster, description));

  devices_ = std::make_unique<HostDevices>(specs, pool_.get());
  share_ = std::make_unique<HostShare>(model_->shared_outline(), decoder_options, SharesOf(plan, outline),
                                       *devices_);
  FileSource source(file_, model_->shared_outline());
  HEARTH_RETURN_IF_ERROR(share_->Load(source, *pool_));
  if (flags.memory_bytes > 0) file_->DropCache();
  return absl::OkStatus();
}

absl::StatusOr<const Tokenizer*> Session::tokenizer() {
  if (!tokenizer_) {
    HEARTH_ASSIGN_OR_RETURN(tokenizer_, Tokenizer::FromMetadata(file_->metadata()));
  }
  return tokenizer_.get();
}

absl::Status Session::Append(absl::Span<const TokenId> tokens, bool every_token, const OnLogits& on_logits,
                             bool prompt) {
  const size_t step_rows = every_token ? std::min<size_t>(kMaxLogitRows, decoder_->options().max_rows)
                                       : decoder_->options().max_rows;
  logits_.resize((every_token ? std::min(step_rows, tokens.size()) : 1) * vocab_size());
  for (size_t begin = 0; begin < tokens.size(); begin += step_rows) {
    const size_t end = std::min(begin + step_rows, tokens.size());
    const uint32_t position = decoder_->SequenceLength(0);
    rows_.clear();
    size_t first_wanted = end;
    for (size_t i = begin; i < end; ++i) {
      const bool wanted = every_token || i + 1 == tokens.size();
      rows_.push_back({0, position + static_cast<uint32_t>(i - begin), tokens[i], wanted, prompt});
      if (wanted) first_wanted = std::min(first_wanted, i);
    }
    const absl::Span<float> logits = absl::MakeSpan(logits_.data(), (end - first_wanted) * vocab_size());
    HEARTH_RETURN_IF_ERROR(decoder_->Step(rows_, logits));
    for (size_t i = first_wanted; i < end; ++i) {
      HEARTH_RETURN_IF_ERROR(on_logits(i, logits.subspan((i - first_wanted) * vocab_size(), vocab_size())));
    }
  }
  return absl::OkStatus();
}

absl::Status Session::Clear() { return decoder_->Truncate(0, 0); }

uint64_t Session::bytes_touched() const {
  uint64_t bytes = decoder_->bytes_touched();
  for (const DeviceCounters& counters : device_counters()) bytes += counters.bytes_touched;
  return bytes;
}

std::vector<DeviceCounters> Session::device_counters() const {
  std::vector<DeviceCounters> counters;
  for (const LocalDevice* device : share_->locals()) counters.push_back(device->counters());
  return counters;
}

std::vector<std::string> Session::device_names() const {
  std::vector<std::string> names;
  for (const LocalDevice* device : share_->locals()) names.push_back(device->name());
  return names;
}

}  // namespace hearth::model_tool
