#ifndef HEARTH_CLIENT_COMMAND_COMMANDS_H_
#define HEARTH_CLIENT_COMMAND_COMMANDS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/command/daemon_http.h"
#include "client/command/doctor_view.h"
#include "client/hearth_client.h"
#include "client/library/catalogue.h"
#include "client/library/local_models.h"
#include "client/library/pull.h"

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

// Prints the vectors of the texts, one per line. With json: the EmbedResponse.
absl::Status RunEmbed(Client& client, const v1::EmbedRequest& request, bool json);

struct ChatOptions {
  v1::ChatRequest request;          // all but the messages
  std::string system;               // the system message; empty: none
  bool raw = false;                 // the model continues what was typed, as it is
  v1::GenerateRequest raw_request;  // then: all but the prompt
  bool json = false;
};
// Reads lines from stdin, each the next turn of a conversation, until its end; lines that begin with a slash
// are commands ("/help" lists them). The model sees the whole conversation through its chat template, or with
// `raw` the bare texts one after the other.
absl::Status RunChat(Client& client, const ChatOptions& options);

struct StatusOptions {
  bool verbose = false;  // shows all figures
  bool neurons = false;  // shows how many neurons each device has computed
  bool watch = false;    // shows it again whenever it changes
  // First waits until so many hosts are alive, and until so many hold a part of every model in use, at least
  // one. After `timeout` DEADLINE_EXCEEDED says what is still missing.
  uint32_t wait_alive = 0;
  uint32_t wait_hosts = 0;
  absl::Duration timeout = absl::InfiniteDuration();
  bool json = false;
};
// Ask and print; the call's error where it fails.
absl::Status RunStatus(Client& client, const StatusOptions& options);
// Writes a picture of what happened when in a step of the model (empty: the only one) to a new file. With
// json: also prints the StepTimeline.
absl::Status RunTimeline(Client& client, const std::string& model, const std::string& svg_path, bool json);
// `svg_path`: where a picture of it is written as well; empty: nowhere.
absl::Status RunPlan(Client& client, const std::string& model, const std::string& svg_path, bool json);
absl::Status RunModels(Client& client, bool json);

// Loads with a progress bar where stderr is a terminal.
absl::Status RunLoad(Client& client, const v1::LoadModelRequest& request, bool json);
absl::Status RunUnload(Client& client, const std::string& name, bool json);

// Fetches a model, with a progress bar where stderr is a terminal, and prints the path that `hearth load`
// takes. With `make_folder` the folder is made where it is not there. With json: {"path", "files": [{"path",
// "bytes", "sha256", "checked"}]}.
absl::Status RunPull(const PullOptions& options, bool make_folder, bool json);
// Prints the models of the catalogue (catalogue.h; `paths` as there) with what is to be expected of each.
// With json: {"models": [...]}.
absl::Status RunCatalogue(Client& client, const std::vector<std::string>& paths, bool json);
// Makes of a name of the catalogue what is to be fetched, and says on stderr what to expect of it.
absl::Status TakeFromCatalogue(Client& client, const std::vector<std::string>& paths, PullOptions& options);
// Prints all that is known of a model of the catalogue. With json: as an entry of RunCatalogue.
absl::Status ShowCatalogueModel(Client& client, const std::vector<std::string>& paths,
                                const std::string& name, bool json);
// Prints where a model of this machine's disk lies, also one that is not whole. With json: as an entry of
// RunLocalModels. NOT_FOUND where there is none.
absl::Status ShowLocalModel(const LibraryFolders& folders, const std::string& name, bool json);
// Prints name, size and path of each model on this machine's disk. With json: {"models_directory", "models"}.
absl::Status RunLocalModels(const LibraryFolders& folders, bool json);
// Removes a model from the models directory. With json: what it was.
absl::Status RunRemoveModel(const LibraryFolders& folders, const std::string& name, bool json);

// Prints what Diagnose finds. With json: FindingsJson. FAILED_PRECONDITION, after it is printed, where
// something is wrong.
absl::Status RunDoctor(Client& client, const DoctorOptions& options, bool json);

// Writes a report for whoever looks for a fault to the new file `path`: versions, findings, status, plans,
// and from the HTTP port `http` metrics and events, scrubbed (scrub.h). What cannot be asked is told in it.
// With json: {"path", "bytes"}.
absl::Status RunReport(Client& client, const DoctorOptions& options, const DaemonHttp& http,
                       const std::string& path, bool json);

// Shows the cluster again each second until q or Ctrl-C; with `once`, with json, and where stdout is no
// terminal, one picture. With json: as RunStatus.
absl::Status RunTop(Client& client, bool once, bool json);

// Prints the line that makes another machine a host of the home. With json: the Invitation.
absl::Status RunInvite(Client& client, uint32_t lifetime_seconds, bool json);
// Prints the hosts that wait to be let in.
absl::Status RunApplicants(Client& client, bool json);
// Lets the host in that shows this code, or sends it away.
absl::Status RunDecide(Client& client, const std::string& code, bool refuse, bool json);
// Those who belong to the home and have one of the roles: hosts with their state, or keys.
absl::Status RunHosts(Client& client, bool json);
absl::Status RunKeys(Client& client, bool json);
// Takes back a host's certificate (ROLE_HOST) or a key (ROLE_CLIENT).
absl::Status RunRemove(Client& client, const std::string& who, v1::Role role, bool json);
// Lets a host take no part for a time (nullopt: until it is resumed), or again; an empty name: the worker
// that is asked.
absl::Status RunPause(Client& client, const std::string& host, std::optional<absl::Duration> time, bool json);
absl::Status RunResume(Client& client, const std::string& host, bool json);
// Wakes a host that is away (an empty name: each that can be woken), says what was sent, and waits until it
// is there, at most for so long; then DEADLINE_EXCEEDED.
absl::Status RunWake(Client& client, const std::string& host, absl::Duration wait, bool json);
// Makes the host that is asked, a standby, the coordinator of its home.
absl::Status RunPromote(Client& client, bool force, bool json);
// Makes a key and writes it to the file `path`, which must not be there yet and which nobody else may read.
absl::Status RunCreateKey(Client& client, const v1::CreateKeyRequest& request, const std::string& path,
                          bool json);
// Makes a key for HTTP and prints it. `authority`: a file, not there yet, for the home's authority; empty:
// none.
absl::Status RunCreateApiKey(Client& client, const v1::CreateKeyRequest& request,
                             const std::string& authority, bool json);

}  // namespace hearth

#endif  // HEARTH_CLIENT_COMMAND_COMMANDS_H_
