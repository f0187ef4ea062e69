#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "daemon/model_tool/command.h"
#include "daemon/model_tool/model_flags.h"
#include "daemon/model_tool/print_json.h"
#include "daemon/model_tool/seconds_since.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/command_line/progress.h"
#include "engine/tools/pack_command.h"
#include "placement/units.h"

namespace hearth::model_tool {
namespace {

using placement::FormatBytes;

struct PackFlags {
  std::string input;
  std::string output;
  PackOptions options;
  bool json = false;
};

absl::Status PackModel(const PackFlags& flags) {
  const auto start = std::chrono::steady_clock::now();
  PackOptions options = flags.options;
  ProgressLine progress;
  options.progress = [&](uint64_t done, uint64_t all) {
    progress.Show(done, all, absl::StrCat(FormatBytes(done), " of ", FormatBytes(all)));
  };
  HEARTH_ASSIGN_OR_RETURN(const PackSummary summary, PackFile(flags.input, flags.output, options));
  const double seconds = SecondsSince(start);
  if (flags.json) {
    return PrintJson({{"out", flags.output},
                      {"input_bytes", summary.input_bytes},
                      {"output_bytes", summary.output_bytes},
                      {"neurons", summary.neurons},
                      {"seconds", seconds}});
  }
  return Print(absl::StrCat(Printable(flags.output), ": ", FormatBytes(summary.output_bytes), ", ",
                            summary.neurons, " neurons that can be read one by one, packed in ",
                            absl::StrFormat("%.1f s\n", seconds)));
}

}  // namespace

void AddPack(CLI::App& app, Job& job) {
  auto flags = std::make_shared<PackFlags>();
  CLI::App* command = app.add_subcommand(
      "pack",
      "writes a model so that its neurons can be read from the disk one by one, for hosts whose memory is "
      "smaller than the model");
  command->add_option("input", flags->input, "the model, a GGUF or PowerInfer file")->required();
  command->add_option("output", flags->output, "the file to write")->required();
  AddProfileFlag(*command, flags->options.profile_path);
  AddThreadsFlag(*command, flags->options.threads);
  AddForceFlag(*command, flags->options.replace);
  command->add_flag("--json", flags->json, "print one JSON object");
  command->callback([flags, &job] { job = [flags] { return PackModel(*flags); }; });
}

}  // namespace hearth::model_tool
