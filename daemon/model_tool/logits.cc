#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/model_tool/command.h"
#include "daemon/model_tool/model_flags.h"
#include "daemon/model_tool/print_json.h"
#include "daemon/model_tool/session.h"
#include "engine/base/npy.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth::model_tool {
namespace {

struct LogitsFlags {
  ModelFlags model;
  std::vector<TokenId> tokens;
  std::string out;
  Replace replace = Replace::kIfForced;
};

absl::Status Logits(const LogitsFlags& flags) {
  const std::vector<TokenId>& tokens = flags.tokens;
  HEARTH_RETURN_IF_ERROR(OutputFile::CheckIsNot(flags.out, flags.model.path));
  HEARTH_RETURN_IF_ERROR(OutputFile::Check(flags.out, flags.replace));
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, Session::Open(flags.model, tokens.size()));
  const size_t vocab = session->vocab_size();
  HEARTH_RETURN_IF_ERROR(CheckTokenIds(tokens, session->vocab_size()));
  std::vector<float> all(tokens.size() * vocab);
  HEARTH_RETURN_IF_ERROR(session->Append(tokens, true, [&](size_t index, absl::Span<float> logits) {
    std::copy(logits.begin(), logits.end(), all.begin() + static_cast<ptrdiff_t>(index * vocab));
    return absl::OkStatus();
  }));
  HEARTH_RETURN_IF_ERROR(WriteNpy(flags.out, tokens.size(), vocab, all, flags.replace));
  if (flags.model.json) {
    return PrintJson({{"tokens", tokens.size()}, {"vocab", vocab}, {"out", flags.out}});
  }
  return Print(absl::StrCat(Printable(flags.out), ": float32 [", tokens.size(), ", ", vocab, "]\n"));
}

}  // namespace

void AddLogits(CLI::App& app, Job& job) {
  auto flags = std::make_shared<LogitsFlags>();
  CLI::App* command = app.add_subcommand("logits", "writes the logits at every position as a .npy file");
  AddModelFlags(*command, flags->model);
  AddTokensFlag(*command, flags->tokens, "token ids, for example 1,2,3")->required();
  command->add_option("--out", flags->out, "the file to write: float32 [tokens, vocab]")->required();
  AddForceFlag(*command, flags->replace);
  command->callback([flags, &job] { job = [flags] { return Logits(*flags); }; });
}

}  // namespace hearth::model_tool
