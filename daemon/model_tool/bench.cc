#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "daemon/model_tool/command.h"
#include "daemon/model_tool/model_flags.h"
#include "daemon/model_tool/print_json.h"
#include "daemon/model_tool/seconds_since.h"
#include "daemon/model_tool/session.h"
#include "engine/base/status_macros.h"
#include "engine/base/thread_pool.h"
#include "engine/command_line/flags.h"
#include "engine/kernel/bandwidth.h"
#include "engine/quant/types.h"

namespace hearth::model_tool {
namespace {

using Clock = std::chrono::steady_clock;

struct BenchFlags {
  ModelFlags model;
  uint32_t prompt_tokens = 128;
  uint32_t generate_tokens = 32;
  uint32_t repetitions = 5;
  uint32_t sequences = 1;
};

struct Measured {
  std::vector<double> prefill_tokens_per_second;  // one per repetition
  std::vector<double> decode_tokens_per_second;
  double decode_bytes_per_second = 0;  // weights and KV cache, over all repetitions
  double bytes_per_token = 0;
  double neurons_per_token = 0;  // whose output was computed, over all layers
  double tokens = 0;             // generated
  DiskCounters disk;             // of generating them
};

DiskCounters DiskWork(const Session& session) {
  DiskCounters total;
  for (const DeviceCounters& counters : session.device_counters()) total.Add(counters.disk);
  return total;
}

// Of one token, where neurons stay on the disk.
nlohmann::json DiskJson(const Measured& measured) {
  const DiskCounters& disk = measured.disk;
  const auto per_token = [&](uint64_t count) { return static_cast<double>(count) / measured.tokens; };
  return {{"hit_rate", static_cast<double>(disk.hits) / static_cast<double>(disk.hits + disk.misses)},
          {"misses_per_token", per_token(disk.misses)},
          {"evictions_per_token", per_token(disk.evictions)},
          {"reads_per_token", per_token(disk.reads)},
          {"bytes_read_per_token", per_token(disk.bytes_read)},
          {"wait_seconds_per_token", per_token(disk.wait_us) / 1e6},
          {"memory_bytes", disk.memory_bytes}};
}

double NeuronsComputed(const Session& session) {
  double neurons = 0;
  for (const DeviceCounters& counters : session.device_counters()) {
    for (const uint64_t computed : counters.neurons_computed) neurons += static_cast<double>(computed);
  }
  return neurons;
}

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

// Any ids will do; these differ from one another and are the same in every run.
TokenId TokenAt(uint32_t sequence, uint32_t position, uint32_t vocab_size) {
  return static_cast<TokenId>((uint64_t{position} * 7919 + uint64_t{sequence} * 104729 + 1) % vocab_size);
}

// One repetition: the prompt of every sequence, then one token at a time for all of them together.
class Repetition {
 public:
  Repetition(Session& session, const BenchFlags& flags)
      : session_(session), flags_(flags), logits_(size_t{flags.sequences} * session.vocab_size()) {}

  absl::Status Run(Measured& measured) {
    for (uint32_t s = 0; s < flags_.sequences; ++s) HEARTH_RETURN_IF_ERROR(session_.decoder().Truncate(s, 0));
    const Clock::time_point prefill_start = Clock::now();
    for (uint32_t s = 0; s < flags_.sequences; ++s) HEARTH_RETURN_IF_ERROR(Prefill(s));
    const double tokens = static_cast<double>(flags_.prompt_tokens) * flags_.sequences;
    measured.prefill_tokens_per_second.push_back(tokens / SecondsSince(prefill_start));

    if (flags_.generate_tokens == 0) return absl::OkStatus();

    const uint64_t bytes_before = session_.bytes_touched();
    const double neurons_before = NeuronsComputed(session_);
    const DiskCounters disk_before = DiskWork(session_);
    const Clock::time_point decode_start = Clock::now();
    for (uint32_t i = 0; i < flags_.generate_tokens; ++i)
      HEARTH_RETURN_IF_ERROR(Decode(flags_.prompt_tokens + i));
    const double seconds = SecondsSince(decode_start);
    const double generated = static_cast<double>(flags_.generate_tokens) * flags_.sequences;
    measured.decode_tokens_per_second.push_back(generated / seconds);
    const auto bytes = static_cast<double>(session_.bytes_touched() - bytes_before);
    measured.decode_bytes_per_second += bytes / seconds / flags_.repetitions;
    measured.bytes_per_token += bytes / generated / flags_.repetitions;
    const double neurons = NeuronsComputed(session_) - neurons_before;
    measured.neurons_per_token += neurons / generated / flags_.repetitions;
    measured.tokens += generated;
    measured.disk.Add(DiskWork(session_).Since(disk_before));
    return absl::OkStatus();
  }

 private:
  absl::Status Prefill(uint32_t sequence) {
    for (uint32_t begin = 0; begin < flags_.prompt_tokens; begin += session_.decoder().options().max_rows) {
      const uint32_t end = std::min(begin + session_.decoder().options().max_rows, flags_.prompt_tokens);
      rows_.clear();
      for (uint32_t p = begin; p < end; ++p) {
        rows_.push_back(
            {sequence, p, TokenAt(sequence, p, session_.vocab_size()), p + 1 == flags_.prompt_tokens, true});
      }
      HEARTH_RETURN_IF_ERROR(
          session_.decoder().Step(rows_, absl::MakeSpan(logits_.data(), session_.vocab_size())));
    }
    return absl::OkStatus();
  }

  absl::Status Decode(uint32_t position) {
    rows_.clear();
    for (uint32_t s = 0; s < flags_.sequences; ++s) {
      rows_.push_back({s, position, TokenAt(s, position, session_.vocab_size()), true});
    }
    return session_.decoder().Step(rows_, absl::MakeSpan(logits_));
  }

  Session& session_;
  const BenchFlags& flags_;
  std::vector<float> logits_;  // (sequences, vocab)
  std::vector<BatchRow> rows_;
};

// Multiplications and additions of one prompt token's matrix products if every neuron fires; attention's own
// and the output, which only the last token needs, are left out.
double PrefillOperationsPerToken(const Session& session) {
  double chosen_experts = 1;
  for (const LayerSpec& layer : session.model().spec().layers) {
    if (layer.ffn.router)
      chosen_experts = static_cast<double>(layer.ffn.router->chosen) / layer.ffn.router->experts;
  }
  double values = 0;
  for (const GgufTensor& tensor : session.file().tensors()) {
    if (!absl::StartsWith(tensor.name, "blk.") || tensor.dimensions < 2) continue;
    const bool experts = tensor.dimensions == 3 && absl::StrContains(tensor.name, "_exps");
    values += static_cast<double>(tensor.values()) * (experts ? chosen_experts : 1);
  }
  return 2 * values;
}

// Whether most weights are multiplied as 8-bit integers: decides with which peak prefill is compared.
bool UsesIntegers(const Session& session) {
  if (session.model().options().arithmetic == Arithmetic::kFloat32) return false;
  uint64_t integers = 0, all = 0;
  for (const GgufTensor& tensor : session.file().tensors()) {
    all += tensor.values();
    integers += GetTypeInfo(tensor.type).block_values > 1 ? tensor.values() : 0;
  }
  return 2 * integers > all;
}

std::string DiskText(const nlohmann::json& disk) {
  const auto number = [&](const char* name) { return disk[name].get<double>(); };
  return absl::StrFormat(
      "disk    %.1f %% of the neurons that fire were in memory; %.0f reads, %.1f MB and %.1f ms of waiting "
      "per token\n",
      100 * number("hit_rate"), number("reads_per_token"), number("bytes_read_per_token") / 1e6,
      1e3 * number("wait_seconds_per_token"));
}

std::string ToText(const nlohmann::json& document) {
  const auto number = [&](const char* name) { return document[name].get<double>(); };
  return absl::StrFormat(
      "prefill %.2f tokens/s, %.1f G operations/s, %.1f %% of the %s peak of %.1f G\n"
      "decode  %.2f tokens/s, %.1f MB per token, %.1f %% of the %.2f GB/s that this machine reads\n",
      number("prefill_tokens_per_second_median"), number("prefill_operations_per_second") / 1e9,
      100 * number("prefill_share_of_peak"), document["peak_arithmetic"].get<std::string>(),
      number("peak_operations_per_second") / 1e9, number("decode_tokens_per_second_median"),
      number("bytes_touched_per_token") / 1e6, 100 * number("share_of_read_bandwidth"),
      number("read_bandwidth_bytes_per_second") / 1e9);
}

absl::Status Bench(const BenchFlags& flags) {
  const Clock::time_point load_start = Clock::now();
  HEARTH_ASSIGN_OR_RETURN(
      const std::unique_ptr<Session> session,
      Session::Open(flags.model, uint64_t{flags.prompt_tokens} + flags.generate_tokens, flags.sequences));
  const double load_seconds = SecondsSince(load_start);

  // Before the clock starts, one full step of the prompt and one of decoding fill caches and buffers.
  BenchFlags short_flags = flags;
  short_flags.prompt_tokens = std::min(flags.prompt_tokens, session->decoder().options().max_rows);
  short_flags.generate_tokens = std::min(flags.generate_tokens, 1u);
  Measured warm_up, measured;
  HEARTH_RETURN_IF_ERROR(Repetition(*session, short_flags).Run(warm_up));
  Repetition repetition(*session, flags);
  for (uint32_t i = 0; i < flags.repetitions; ++i) HEARTH_RETURN_IF_ERROR(repetition.Run(measured));

  ThreadPool all_threads(session->threads());
  const double bandwidth = MeasureReadBandwidth(all_threads);
  const bool integers = UsesIntegers(*session);
  const double peak = integers ? MeasureInt8Rate(all_threads) : MeasureF32Rate(all_threads);
  const double prefill = Median(measured.prefill_tokens_per_second);
  const double operations = prefill * PrefillOperationsPerToken(*session);
  nlohmann::json document = {
      {"model", flags.model.path},
      {"threads", session->threads()},
      {"sequences", flags.sequences},
      {"prompt_tokens", flags.prompt_tokens},
      {"generate_tokens", flags.generate_tokens},
      {"repetitions", flags.repetitions},
      {"load_seconds", load_seconds},
      {"prefill_tokens_per_second", measured.prefill_tokens_per_second},
      {"decode_tokens_per_second", measured.decode_tokens_per_second},
      {"prefill_tokens_per_second_median", prefill},
      {"decode_tokens_per_second_median", Median(measured.decode_tokens_per_second)},
      {"bytes_touched_per_token", measured.bytes_per_token},
      {"neurons_computed_per_token", measured.neurons_per_token},
      {"read_bandwidth_bytes_per_second", bandwidth},
      {"share_of_read_bandwidth", bandwidth > 0 ? measured.decode_bytes_per_second / bandwidth : 0},
      {"prefill_operations_per_second", operations},
      {"peak_operations_per_second", peak},
      {"peak_arithmetic", integers ? "int8" : "float32"},
      {"prefill_share_of_peak", peak > 0 ? operations / peak : 0},
  };
  const bool reads_disk = measured.disk.hits + measured.disk.misses > 0;
  if (reads_disk) document["disk"] = DiskJson(measured);
  if (flags.model.json) return PrintJson(document);
  return Print(ToText(document) + (reads_disk ? DiskText(document["disk"]) : ""));
}

}  // namespace

void AddBench(CLI::App& app, Job& job) {
  auto flags = std::make_shared<BenchFlags>();
  CLI::App* command =
      app.add_subcommand("bench", "measures prefill and decode beside what the machine can do");
  AddModelFlags(*command, flags->model);
  AddWholeNumber(*command, "--prompt-tokens", flags->prompt_tokens, "tokens of the prompt", 1u, 1u << 20);
  AddWholeNumber(*command, "--generate-tokens", flags->generate_tokens,
                 "tokens generated after it; 0 measures the prompt alone", 0u, 1u << 20);
  AddWholeNumber(*command, "--repetitions", flags->repetitions,
                 "measured repetitions, after a short one that is not", 1u, 1000u);
  AddWholeNumber(*command, "--sequences", flags->sequences,
                 "sequences decoded together, each with its prompt", 1u, 256u);
  command->callback([flags, &job] { job = [flags] { return Bench(*flags); }; });
}

}  // namespace hearth::model_tool
