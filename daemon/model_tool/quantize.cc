#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "daemon/model_tool/command.h"
#include "daemon/model_tool/model_flags.h"
#include "daemon/model_tool/print_json.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/quant/types.h"
#include "engine/tools/quantize_command.h"
#include "placement/units.h"

namespace hearth::model_tool {
namespace {

struct QuantizeFlags {
  std::string input;
  std::string output;
  std::string type;
  QuantizeOptions options;
  bool json = false;
};

absl::Status QuantizeModel(const QuantizeFlags& flags) {
  QuantizeOptions options = flags.options;
  const std::optional<TensorType> type = ParseTypeName(absl::AsciiStrToUpper(flags.type));
  if (!type)
    return absl::InvalidArgumentError(
        absl::StrCat("unknown type ", flags.type, "; see hearth-model quantize --help"));
  options.type = *type;
  HEARTH_ASSIGN_OR_RETURN(const QuantizeSummary summary, QuantizeFile(flags.input, flags.output, options));
  const std::string type_name(GetTypeInfo(options.type).name);
  if (flags.json) {
    return PrintJson({{"out", flags.output},
                      {"type", type_name},
                      {"input_bytes", summary.input_bytes},
                      {"output_bytes", summary.output_bytes},
                      {"quantised_tensors", summary.quantised_tensors},
                      {"copied_tensors", summary.copied_tensors},
                      {"fallback_tensors", summary.fallback_tensors}});
  }
  return Print(absl::StrCat(Printable(flags.output), ": ", placement::FormatBytes(summary.input_bytes),
                            " became ", placement::FormatBytes(summary.output_bytes), "; ",
                            summary.quantised_tensors, " tensors packed (", summary.fallback_tensors,
                            " of them in another type than ", type_name, "), ", summary.copied_tensors,
                            " copied\n"));
}

}  // namespace

void AddQuantize(CLI::App& app, Job& job) {
  auto flags = std::make_shared<QuantizeFlags>();
  CLI::App* command = app.add_subcommand("quantize", "writes a model with its matrices in another type");
  command->add_option("input", flags->input, "the model, a GGUF or PowerInfer file")->required();
  command->add_option("output", flags->output, "the file to write")->required();
  command->add_option("type", flags->type, "F32, F16, BF16, Q8_0, Q4_0, Q4_K or Q6_K")->required();
  command->add_option("--imatrix", flags->options.imatrix_path,
                      "importance matrix (GGUF) that steers the rounding");
  AddThreadsFlag(*command, flags->options.threads);
  AddForceFlag(*command, flags->options.replace);
  command->add_flag("--json", flags->json, "print one JSON object");
  command->callback([flags, &job] { job = [flags] { return QuantizeModel(*flags); }; });
}

}  // namespace hearth::model_tool
