#ifndef HEARTH_CLIENT_COMMAND_COMMANDS_H_
#define HEARTH_CLIENT_COMMAND_COMMANDS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/hearth_client.h"

namespace hearth {

// The commands of `hearth`. Results go to stdout, everything else to stderr; with `json` stdout gets one JSON
// object, or one per line where results come over time. CANCELLED after Ctrl-C.

struct GenerateOptions {
  v1::GenerateRequest request;
  std::optional<absl::Duration> timeout;
  bool json = false;
};
// Streams the text, then tokens/s on stderr. With json: the events, one per line.
absl::Status RunGenerate(Client& client, const GenerateOptions& options);

struct ChatOptions {
  v1::GenerateRequest request;  // all but the prompt
  bool raw = false;             // the model continues what was typed, as it is
  bool json = false;
};
// Reads lines from stdin, each the next turn of a conversation, until its end. The prompt is the whole
// conversation as a transcript ("User: ...", "Assistant: ..."), or with `raw` the bare texts one after the
// other.
absl::Status RunChat(Client& client, const ChatOptions& options);

absl::Status RunStatus(Client& client, bool watch, bool json);
absl::Status RunPlan(Client& client, const std::string& model, bool json);
absl::Status RunModels(Client& client, bool json);

struct WaitOptions {
  uint32_t hosts = 1;               // that are alive
  std::optional<uint32_t> sharing;  // hosts that hold a share of the model in the plan in use
  std::string model;                // to be ready; empty: all there are, at least one
  absl::Duration timeout = absl::InfiniteDuration();
  bool json = false;
};
// Waits until the cluster is as wanted. DEADLINE_EXCEEDED says what is still missing.
absl::Status RunWait(Client& client, const WaitOptions& options);

// Loads with a progress bar where stderr is a terminal.
absl::Status RunLoad(Client& client, const v1::LoadModelRequest& request, bool json);
absl::Status RunUnload(Client& client, const std::string& name, bool json);

}  // namespace hearth

#endif  // HEARTH_CLIENT_COMMAND_COMMANDS_H_
