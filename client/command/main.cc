// `hearth`: talks to a hearthd.
#include <grpc/support/log.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <concepts>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "client/command/commands.h"
#include "client/command/display.h"
#include "client/command/interrupt.h"
#include "client/library/prefix_digest.h"
#include "engine/base/input_file.h"
#include "engine/base/printable.h"
#include "engine/command_line/flags.h"
#include "engine/command_line/program.h"

namespace hearth {
namespace {

constexpr char kDescription[] =
    "hearth talks to hearthd, the daemon that runs a language model on the computers of a home.\n\n"
    "Examples:\n"
    "  hearth generate 'In the beginning' -n 100\n"
    "  hearth generate --temperature 0 --json < prompt.txt\n"
    "  hearth chat\n"
    "  hearth pull hf:USER/REPO:Q4_K_M\n"
    "  hearth load ~/models/demo.gguf\n"
    "  hearth status\n"
    "  hearth plan\n"
    "  hearth doctor\n"
    "  hearth invite";

// Of a grammar's or schema's file; the daemon says what it takes.
constexpr uint64_t kMaxConstraintBytes = 4 << 20;

using Command = std::function<absl::Status(Client&)>;

constexpr uint64_t kMaxKeyBytes = 64 << 10;
constexpr char kDefaultServer[] = "127.0.0.1:7770";
constexpr char kServiceModels[] = "/var/lib/hearth/models";

struct Common {
  std::string server;  // empty: the key's, or kDefaultServer
  ConnectionKey key;
  bool json = false;
};

absl::Status ReadKey(const std::string& path, ConnectionKey& key) {
  const absl::StatusOr<std::string> file = ReadInputFile(path, kMaxKeyBytes);
  if (!file.ok()) return file.status();
  std::optional<ConnectionKey> read = ParseConnectionKey(*file);
  if (!read) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is no key of Hearth: `hearth key create --client NAME` writes one"));
  }
  key = *std::move(read);
  return absl::OkStatus();
}

absl::Status ReadHttpKey(const std::string& path, std::string& key) {
  const absl::StatusOr<std::string> file = ReadInputFile(path, kMaxKeyBytes);
  if (!file.ok()) return file.status();
  key = std::string(absl::StripAsciiWhitespace(*file));
  const bool good = !key.empty() && std::all_of(key.begin(), key.end(),
                                                [](unsigned char c) { return absl::ascii_isgraph(c); });
  return good ? absl::OkStatus()
              : absl::InvalidArgumentError(
                    absl::StrCat(path, " has no key for HTTP: `hearth key create --api NAME` prints one"));
}

std::string ServerOf(const Common& common) {
  if (!common.server.empty()) return common.server;
  return common.key.server.empty() ? kDefaultServer : common.key.server;
}

// Whether a path means the same there as here.
bool IsThisMachine(const std::string& server) {
  const std::string host = server.substr(0, server.rfind(':'));
  return host.starts_with("127.") || host == "localhost" || host == "[::1]";
}

// Binds options to a proto's optional fields, so that what is not given keeps the daemon's default.
template <typename T, typename Message>
void AddField(CLI::App& app, const std::string& name, Message* message, void (Message::*set)(T),
              const std::string& help) {
  if constexpr (std::unsigned_integral<T>) {
    AddWholeNumber<T>(
        app, name, [=](T number) { (message->*set)(number); }, help);
  } else {
    AddDecimal(
        app, name, [=](double number) { (message->*set)(static_cast<T>(number)); }, help);
  }
}

void AddSampling(CLI::App& app, v1::Sampling* sampling) {
  AddField<float>(app, "--temperature", sampling, &v1::Sampling::set_temperature,
                  "0: always the likeliest token; default: 0.8");
  AddField<uint32_t>(app, "--top-k", sampling, &v1::Sampling::set_top_k,
                     "Draw from so many tokens, 0: all; default: 40");
  AddField<float>(app, "--top-p", sampling, &v1::Sampling::set_top_p,
                  "Draw from tokens of this total probability; default: 0.95");
  AddField<float>(app, "--min-p", sampling, &v1::Sampling::set_min_p,
                  "Leave out tokens below this share of the likeliest; default: 0.05");
  AddField<float>(app, "--repetition-penalty", sampling, &v1::Sampling::set_repetition_penalty,
                  "Above 1: fewer repetitions; default: 1");
  AddField<float>(app, "--frequency-penalty", sampling, &v1::Sampling::set_frequency_penalty,
                  "Per occurrence; default: 0");
  AddField<float>(app, "--presence-penalty", sampling, &v1::Sampling::set_presence_penalty,
                  "Once if seen; default: 0");
  AddField<uint32_t>(app, "--penalty-window", sampling, &v1::Sampling::set_penalty_window,
                     "Tokens that count as seen, 0: all; default: 64");
  AddField<uint64_t>(app, "--seed", sampling, &v1::Sampling::set_seed,
                     "The same seed gives the same text; default: a random one");
}

// What GenerateRequest and ChatRequest have in common.
template <typename Request>
void AddGeneration(CLI::App& app, Request& request) {
  app.add_option_function<std::string>(
      "--model", [&](const std::string& name) { request.set_model(name); },
      "Model to ask; default: the only one");
  AddField<uint32_t>(app, "-n,--max-tokens", &request, &Request::set_max_tokens,
                     "Most tokens to generate; default: what the context has room for");
  app.add_option_function<std::vector<std::string>>(
         "--stop",
         [&](const std::vector<std::string>& stops) {
           *request.mutable_stop() = {stops.begin(), stops.end()};
         },
         "Text before which generation ends; may be repeated")
      ->allow_extra_args(false);
  app.add_flag_function(
      "--ignore-eos", [&](int64_t) { request.set_ignore_eos(true); },
      "Go on after the token that ends a text");
  AddSampling(app, request.mutable_sampling());
}

// Files that say what the output has to look like.
template <typename Request>
void AddConstraint(CLI::App& app, Request& request) {
  const auto add = [&app](const char* name, std::function<void(const std::string&)> set,
                          const char* description) {
    const auto read = [set = std::move(set)](const std::string& path) {
      const auto text = ReadInputFile(path, kMaxConstraintBytes);
      if (text.ok()) set(*text);
      return text.status();
    };
    return AddParsed(app, name, "FILE", read, description);
  };
  CLI::Option* const grammar = add(
      "--grammar", [&request](const std::string& text) { request.set_grammar(text); },
      "Write only what follows this grammar, in GBNF");
  add(
      "--json-schema", [&request](const std::string& text) { request.set_json_schema(text); },
      "Write only JSON that fits this schema")
      ->excludes(grammar);
}

absl::StatusOr<std::string> ReadPrompt() {
  if (isatty(STDIN_FILENO) != 0) std::fprintf(stderr, "Type the text to continue, then Ctrl-D.\n");
  return ReadStandardInput();
}

void AddGenerate(CLI::App& main, const Common& common, Command& command) {
  CLI::App& app = *main.add_subcommand("generate", "Continue a text");
  auto options = std::make_shared<GenerateOptions>();
  auto prompt = std::make_shared<std::string>();
  v1::GenerateRequest& request = options->request;
  CLI::Option* text = app.add_option("prompt", *prompt, "Text to continue; default: stdin");
  AddParsed(
      app, "--tokens", "IDS",
      [&request](const std::string& ids) {
        const auto tokens = ParseTokenIds(ids);
        if (tokens.ok()) request.mutable_tokens()->mutable_ids()->Assign(tokens->begin(), tokens->end());
        return tokens.status();
      },
      "Token ids to continue, such as 1,2,3, instead of a text")
      ->excludes(text);
  AddGeneration(app, request);
  AddConstraint(app, request);
  app.add_flag_function(
      "--parse-special", [&](int64_t) { request.set_parse_special(true); },
      "Special tokens written in the prompt become tokens");
  AddField<uint32_t>(app, "--logprobs", &request, &v1::GenerateRequest::set_logprobs,
                     "With --json: report so many log probabilities per token");
  AddSeconds(
      app, "--timeout", [&timeout = options->timeout](double seconds) { timeout = absl::Seconds(seconds); },
      "Seconds all of it may take");
  app.callback([=, &common, &command] {
    command = [=, &common](Client& client) -> absl::Status {
      options->json = common.json;
      if (!options->request.has_tokens()) {
        absl::StatusOr<std::string> typed =
            text->count() > 0 ? absl::StatusOr<std::string>(*prompt) : ReadPrompt();
        if (!typed.ok()) return typed.status();
        options->request.set_text(*std::move(typed));
      }
      return RunGenerate(client, *options);
    };
  });
}

void AddEmbed(CLI::App& main, const Common& common, Command& command) {
  CLI::App& app =
      *main.add_subcommand("embed", "Vectors that stand for texts: what means alike points alike");
  auto request = std::make_shared<v1::EmbedRequest>();
  app.add_option_function<std::vector<std::string>>(
      "texts",
      [=](const std::vector<std::string>& texts) {
        for (const std::string& text : texts) request->add_inputs()->set_text(text);
      },
      "Texts, each of which gets a vector; default: stdin, which is one");
  app.add_option_function<std::string>(
      "--model", [=](const std::string& name) { request->set_model(name); },
      "Model to ask; default: the only one");
  app.add_option_function<std::string>(
         "--pooling",
         [=](const std::string& pooling) {
           request->set_pooling(pooling == "mean"  ? v1::POOLING_MEAN
                                : pooling == "cls" ? v1::POOLING_CLS
                                                   : v1::POOLING_LAST);
         },
         "mean, cls or last; default: as the model's file says, else mean")
      ->check(CLI::IsMember({"mean", "cls", "last"}).description(""));
  AddField<uint32_t>(app, "--dimensions", request.get(), &v1::EmbedRequest::set_dimensions,
                     "Keep the first values of each vector; default: all");
  app.callback([=, &common, &command] {
    command = [=, &common](Client& client) -> absl::Status {
      if (request->inputs_size() == 0) {
        absl::StatusOr<std::string> typed = ReadPrompt();
        if (!typed.ok()) return typed.status();
        request->add_inputs()->set_text(*std::move(typed));
      }
      return RunEmbed(client, *request, common.json);
    };
  });
}

// The options of a chat for the continuation of bare text.
v1::GenerateRequest ContinuationOptions(const v1::ChatRequest& chat) {
  v1::GenerateRequest request;
  request.set_model(chat.model());
  if (chat.has_max_tokens()) request.set_max_tokens(chat.max_tokens());
  *request.mutable_stop() = chat.stop();
  request.set_ignore_eos(chat.ignore_eos());
  *request.mutable_sampling() = chat.sampling();
  return request;
}

void AddChat(CLI::App& main, const Common& common, Command& command) {
  CLI::App& app =
      *main.add_subcommand("chat", "Talk: each line of stdin is a turn, the model sees all turns before");
  auto options = std::make_shared<ChatOptions>();
  AddGeneration(app, options->request);
  app.add_option("--system", options->system, "Tell the model who it is");
  app.add_option_function<std::string>(
      "--variables", [=](const std::string& json) { options->request.set_variables(json); },
      "JSON object for the chat template, such as '{\"enable_thinking\": false}'");
  app.add_option_function<std::string>(
      "--template", [=](const std::string& name) { options->request.set_template_name(name); },
      "Which of the model's chat templates to use; default: the one that fits");
  app.add_flag("--raw", options->raw, "Let the model go on from the bare text, without its chat template");
  app.callback([=, &common, &command] {
    command = [=, &common](Client& client) {
      options->json = common.json;
      if (options->raw) options->raw_request = ContinuationOptions(options->request);
      return RunChat(client, *options);
    };
  });
}

std::string Variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

LibraryFolders LocalFolders() {
  std::error_code error;
  const bool service = geteuid() == 0 && std::filesystem::is_directory(kServiceModels, error);
  return FoldersOf(Variable, service ? kServiceModels : "");
}

// What comes with the programs, beside them, and what the user has.
std::vector<std::string> CataloguePaths() {
  std::vector<std::string> paths;
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::filesystem::path shared = program.parent_path().parent_path() / "share/hearth/catalogue";
  if (std::filesystem::is_directory(shared, error)) paths.push_back(shared);
  if (const std::string own = Variable("HEARTH_CATALOGUE"); !own.empty()) paths.push_back(own);
  return paths;
}

// For a question beside what is asked for.
constexpr absl::Duration kShortPatience = absl::Seconds(5);

void AddLibrary(CLI::App& main, const Common& common, Command& command) {
  CLI::App& pull = *main.add_subcommand("pull", "Fetch a model into the models directory");
  auto options = std::make_shared<PullOptions>();
  pull.add_option("source", options->source,
                  "Name in `hearth models --catalogue`, URL of a GGUF file, or hf:USER/REPO, "
                  "hf:USER/REPO:FILE.gguf or hf:USER/REPO:Q4_K_M of Hugging Face (HF_TOKEN: a token for it; "
                  "HF_ENDPOINT: another hub)")
      ->required();
  pull.add_option("--to", options->folder,
                  "Folder for it; default: $HEARTH_MODELS, else ~/.local/share/hearth/models, for root where "
                  "the service is installed /var/lib/hearth/models")
      ->type_name("DIR");
  pull.add_option("--name", options->name, "Name of the file; default: the URL's")->type_name("FILE");
  AddParsed(
      pull, "--sha256", "HEX",
      [=](const std::string& digest) {
        options->sha256 = digest;
        return IsSha256(digest) ? absl::OkStatus()
                                : absl::InvalidArgumentError("a SHA-256 has 64 hexadecimal digits");
      },
      "Digest that the file must have");
  AddWholeNumber(pull, "--connections", options->connections, "Ranges that are fetched at the same time", 1u,
                 16u);
  AddWholeNumber(pull, "--retries", options->http.retries,
                 "Further tries when a connection breaks or the server is busy", 0u, 100u);
  AddWholeNumber(pull, "--stall-seconds", options->http.stall_seconds,
                 "A connection without a byte for so long counts as broken", 1u, 3600u);
  pull.callback([=, &common, &command] {
    command = [=, &common](Client&) {
      const bool is_default = options->folder.empty();
      if (is_default) options->folder = LocalFolders().models;
      const std::string hub = Variable("HF_ENDPOINT");
      if (!hub.empty()) options->hub = std::string(absl::StripSuffix(hub, "/"));
      options->http.token = Variable("HF_TOKEN");
      if (IsCatalogueName(options->source)) {
        Client client(ServerOf(common), common.key, kShortPatience);
        const absl::Status taken = TakeFromCatalogue(client, CataloguePaths(), *options);
        if (!taken.ok()) return taken;
      }
      return RunPull(*options, is_default, common.json);
    };
  });

  CLI::App& show = *main.add_subcommand(
      "show", "A model of this machine's disk, or of the catalogue with what is to be expected of it");
  auto shown = std::make_shared<std::string>();
  show.add_option("name", *shown, "Model, as `hearth models --local` or `--catalogue` shows it")->required();
  show.callback([=, &common, &command] {
    command = [=, &common](Client&) {
      const absl::Status local = ShowLocalModel(LocalFolders(), *shown, common.json);
      if (!absl::IsNotFound(local)) return local;
      Client client(ServerOf(common), common.key, kShortPatience);
      return ShowCatalogueModel(client, CataloguePaths(), *shown, common.json);
    };
  });

  CLI::App& remove = *main.add_subcommand("rm", "Remove a model from the models directory");
  auto name = std::make_shared<std::string>();
  remove.add_option("name", *name, "Model, as `hearth models --local` shows it")->required();
  remove.callback([=, &common, &command] {
    command = [=, &common](Client&) { return RunRemoveModel(LocalFolders(), *name, common.json); };
  });
}

void AddInspection(CLI::App& main, const Common& common, Command& command) {
  CLI::App& status = *main.add_subcommand("status", "Hosts, devices, links and models");
  auto options = std::make_shared<StatusOptions>();
  status.add_flag("--verbose", options->verbose,
                  "Show all figures: what each device can do, links, transfers");
  status.add_flag("--neurons", options->neurons,
                  "Show how many neurons of each layer each device has computed");
  status.add_flag("--watch", options->watch, "Show it again whenever it changes");
  AddWholeNumber(status, "--wait-hosts", options->wait_hosts,
                 "First wait until models are ready and so many hosts hold a part of each");
  AddWholeNumber(status, "--wait-alive", options->wait_alive, "First wait until so many hosts are alive");
  AddSeconds(
      status, "--timeout",
      [&timeout = options->timeout](double seconds) { timeout = absl::Seconds(seconds); },
      "Seconds to wait; default: for ever");
  auto timeline_path = std::make_shared<std::string>();
  CLI::Option* const timeline = status.add_option(
      "--timeline", *timeline_path,
      "New file for a picture of one step instead: what each device computed when, and what "
      "was read from a disk");
  timeline->type_name("FILE");
  auto of_model = std::make_shared<std::string>();
  status.add_option("--model", *of_model, "Whose; default: the only model")->needs(timeline);
  status.callback([=, &common, &command] {
    command = [=, &common](Client& client) {
      if (!timeline_path->empty()) return RunTimeline(client, *of_model, *timeline_path, common.json);
      options->json = common.json;
      return RunStatus(client, *options);
    };
  });

  CLI::App& plan = *main.add_subcommand("plan", "Which device holds what of a model, and why");
  auto model = std::make_shared<std::string>();
  plan.add_option("model", *model, "Model; default: the only one");
  auto svg_path = std::make_shared<std::string>();
  plan.add_option("--svg", *svg_path, "New file for a picture of it: who holds which neurons of each layer");
  plan.callback([=, &common, &command] {
    command = [=, &common](Client& client) { return RunPlan(client, *model, *svg_path, common.json); };
  });

  CLI::App& models = *main.add_subcommand("models", "Models that are loaded or loading");
  auto local = std::make_shared<bool>(false);
  CLI::Option* const on_disk = models.add_flag(
      "--local", *local,
      "Models on this machine's disk instead: of the models directory, and of what Hugging Face's "
      "and Ollama's programs have fetched");
  auto catalogue = std::make_shared<bool>(false);
  models
      .add_flag("--catalogue", *catalogue,
                "Known-good models instead, for `hearth pull NAME`, and how fast each would be here "
                "(HEARTH_CATALOGUE: a file or folder with further ones)")
      ->excludes(on_disk);
  models.callback([=, &common, &command] {
    command = [=, &common](Client& client) {
      if (*catalogue) {
        Client patient(ServerOf(common), common.key, kShortPatience);
        return RunCatalogue(patient, CataloguePaths(), common.json);
      }
      return *local ? RunLocalModels(LocalFolders(), common.json) : RunModels(client, common.json);
    };
  });
}

DoctorOptions DoctorOptionsOf(const Common& common) {
  return {
      .server = ServerOf(common), .key = common.key, .folders = LocalFolders(), .version = HEARTH_VERSION};
}

void AddDiagnosis(CLI::App& main, const Common& common, Command& command) {
  main.add_subcommand("doctor",
                      "What is wrong with this machine and its daemon, what it costs, and what to do")
      ->callback([&common, &command] {
        command = [&common](Client&) {
          Client client(ServerOf(common), common.key, kShortPatience);
          return RunDoctor(client, DoctorOptionsOf(common), common.json);
        };
      });
}

void AddReport(CLI::App& main, const Common& common, Command& command) {
  CLI::App& report = *main.add_subcommand(
      "report", "Write a report for those who look for a fault, without names, keys, prompts and texts");
  auto path = std::make_shared<std::string>();
  auto http = std::make_shared<DaemonHttp>(DaemonHttp{.address = "127.0.0.1:7780"});
  report.add_option("file", *path, "New file; a text to be read before it is sent")->required();
  AddParsed(
      report, "--http", "HOST:PORT",
      [=](const std::string& address) {
        http->address = address;
        return CheckAddress(address, 1);
      },
      "HTTP port of the daemon, for its metrics and events")
      ->default_str(http->address);
  CLI::Option* const key = AddParsed(
      report, "--http-key", "FILE", [=](const std::string& file) { return ReadHttpKey(file, http->key); },
      "Key for that port, as `hearth key create --api` prints it: it is asked by HTTPS");
  report
      .add_option("--authority", http->authority,
                  "The home's authority, by which its HTTPS port is known; default: the system's")
      ->type_name("FILE")
      ->check(CLI::ExistingFile.description(""))
      ->needs(key);
  report.callback([=, &common, &command] {
    command = [=, &common](Client&) {
      if (absl::Status status = CheckPath("the file", *path); !status.ok()) return status;
      Client client(ServerOf(common), common.key, kShortPatience);
      return RunReport(client, DoctorOptionsOf(common), *http, *path, common.json);
    };
  });
}

void AddTop(CLI::App& main, const Common& common, Command& command) {
  CLI::App& top = *main.add_subcommand("top", "Watch streams, queue, hosts, devices and links; q ends");
  auto once = std::make_shared<bool>(false);
  top.add_flag("--once", *once, "Show one picture and end, as where stdout is no terminal");
  top.callback([=, &common, &command] {
    command = [=, &common](Client& client) { return RunTop(client, *once, common.json); };
  });
}

// The file that is meant; of a model of this machine's library, whose name is the file's own otherwise, with
// that one.
absl::StatusOr<LocalModel> ModelToLoad(const std::string& file, const std::string& server) {
  std::error_code error;
  if (IsThisMachine(server) && file.front() != '/' && !std::filesystem::exists(file, error))
    return FindLocalModel(LocalFolders(), file);
  // The daemon has another working directory.
  LocalModel model;
  model.path = std::filesystem::absolute(file, error);
  if (error) return absl::NotFoundError(absl::StrCat(file, ": ", error.message()));
  return model;
}

void AddLoading(CLI::App& main, const Common& common, Command& command) {
  CLI::App& load = *main.add_subcommand("load", "Load a model; the file lies on the coordinator's host");
  auto request = std::make_shared<v1::LoadModelRequest>();
  load.add_option_function<std::string>(
          "file", [=](const std::string& path) { request->set_path(path); },
          "GGUF or PowerInfer file, or where the coordinator is this machine a model of `hearth models "
          "--local`")
      ->required();
  load.add_option_function<std::string>(
      "--name", [=](const std::string& name) { request->set_name(name); },
      "What clients call it; default: the file's name");
  AddParsed(
      load, "--objective", "OBJECTIVE",
      [=](const std::string& objective) {
        request->set_objective(objective);
        return objective.empty() ? absl::InvalidArgumentError("expected latency, throughput:N or prompt:N")
                                 : absl::OkStatus();
      },
      "What its plans are to make fast: latency (of one stream), throughput:N (of N streams together) or "
      "prompt:N (reading prompts, N tokens at a time; prompt: 512); default: as hearthd is set");
  AddParsed(
      load, "--draft", "FILE",
      [=](const std::string& draft) {
        request->set_draft(draft);
        return CheckPath("the file", draft);
      },
      "Smaller model with the same vocabulary that guesses what its texts go on with; the text is the same");
  load.add_option_function<std::vector<std::string>>(
          "--lora",
          [=](const std::vector<std::string>& adapters) {
            for (const std::string& adapter : adapters) request->add_adapters(adapter);
          },
          "LoRA adapter (GGUF) that changes the model, S times as strong as it was trained; may be repeated")
      ->allow_extra_args(false)
      ->type_name("FILE[,scale=S]");
  load.callback([=, &common, &command] {
    command = [=, &common](Client& client) {
      if (absl::Status status = CheckPath("the file", request->path()); !status.ok()) return status;
      const absl::StatusOr<LocalModel> model = ModelToLoad(request->path(), ServerOf(common));
      if (!model.ok()) return model.status();
      request->set_path(model->path);
      if (request->name().empty()) request->set_name(model->name);
      if (!request->draft().empty()) {
        const absl::StatusOr<LocalModel> draft = ModelToLoad(request->draft(), ServerOf(common));
        if (!draft.ok()) return draft.status();
        request->set_draft(draft->path);
      }
      for (std::string& adapter : *request->mutable_adapters()) {
        std::error_code error;
        const std::filesystem::path path = std::filesystem::absolute(adapter, error);
        if (error) return absl::NotFoundError(absl::StrCat(adapter, ": ", error.message()));
        adapter = path;
      }
      return RunLoad(client, *request, common.json);
    };
  });

  CLI::App& unload = *main.add_subcommand("unload", "Unload a model");
  auto name = std::make_shared<std::string>();
  unload.add_option("model", *name, "Model")->required();
  unload.callback([=, &common, &command] {
    command = [=, &common](Client& client) { return RunUnload(client, *name, common.json); };
  });
}

void AddHosts(CLI::App& main, const Common& common, Command& command) {
  CLI::App& invite = *main.add_subcommand(
      "invite", "Let another machine join: prints the command for it, and opens the encrypted ports");
  auto lifetime_minutes = std::make_shared<uint32_t>(60);
  AddWholeNumber(invite, "--minutes", *lifetime_minutes, "How long the code is good for; default: 60", 1u,
                 7u * 24 * 60);
  invite.callback([=, &common, &command] {
    command = [=, &common](Client& client) { return RunInvite(client, *lifetime_minutes * 60, common.json); };
  });
  CLI::App& approve = *main.add_subcommand(
      "approve",
      "Let a machine join that waits without a code (`hearthd --join`); without digits: who waits");
  auto digits = std::make_shared<std::vector<std::string>>();
  auto refuse = std::make_shared<bool>(false);
  CLI::Option* const code = approve.add_option("code", *digits, "The six digits that it shows, as 123 456");
  approve.add_flag("--refuse", *refuse, "Send it away")->needs(code);
  approve.callback([=, &common, &command] {
    command = [=, &common](Client& client) {
      if (digits->empty()) return RunApplicants(client, common.json);
      return RunDecide(client, absl::StrJoin(*digits, " "), *refuse, common.json);
    };
  });
  main.add_subcommand("hosts", "Machines that have joined the home")->callback([&common, &command] {
    command = [&common](Client& client) { return RunHosts(client, common.json); };
  });
  CLI::App& forget = *main.add_subcommand("forget", "Take a machine out of the home, at once");
  auto host = std::make_shared<std::string>();
  forget.add_option("host", *host, "Name or id")->required();
  forget.callback([=, &common, &command] {
    command = [=, &common](Client& client) { return RunRemove(client, *host, v1::ROLE_HOST, common.json); };
  });
}

void AddPromote(CLI::App& main, const Common& common, Command& command) {
  CLI::App& promote = *main.add_subcommand(
      "promote", "Make this machine, a standby, the coordinator in place of the one that is gone for good");
  auto force = std::make_shared<bool>(false);
  promote.add_flag(
      "--force", *force,
      "Also where nobody can tell whether that one lives, as when its machine is off; never while it "
      "answers");
  promote.callback([=, &common, &command] {
    command = [=, &common](Client& client) { return RunPromote(client, *force, common.json); };
  });
}

constexpr absl::Duration kLongestPause = absl::Hours(366 * 24);

void AddPauses(CLI::App& main, const Common& common, Command& command) {
  CLI::App& pause = *main.add_subcommand(
      "pause", "Let a machine take no part for a time: the others take its share over, no answer ends");
  auto host = std::make_shared<std::string>();
  auto time = std::make_shared<std::optional<absl::Duration>>();
  pause.add_option("host", *host, "Its name; default: the machine whose daemon this command speaks to");
  pause
      .add_option_function<std::string>(
          "--for",
          [=](const std::string& text) {
            absl::Duration parsed;
            if (!absl::ParseDuration(text, &parsed) || parsed < absl::Seconds(1) || parsed > kLongestPause) {
              throw CLI::ValidationError(
                  "--for", "\"" + Printable(text) + "\" is no time; write for example 90m or 2h");
            }
            *time = absl::Floor(parsed, absl::Seconds(1));
          },
          "For how long, such as 90m or 2h; default: until `hearth resume`")
      ->type_name("TIME");
  pause.callback([=, &common, &command] {
    command = [=, &common](Client& client) { return RunPause(client, *host, *time, common.json); };
  });
  CLI::App& resume = *main.add_subcommand("resume", "Let a machine that was paused take part again");
  auto resumed = std::make_shared<std::string>();
  resume.add_option("host", *resumed, "Its name; default: the machine whose daemon this command speaks to");
  resume.callback([=, &common, &command] {
    command = [=, &common](Client& client) { return RunResume(client, *resumed, common.json); };
  });
}

void AddWake(CLI::App& main, const Common& common, Command& command) {
  CLI::App& wake = *main.add_subcommand("wake", "Wake a machine of the home that sleeps (Wake-on-LAN)");
  auto host = std::make_shared<std::string>();
  auto seconds = std::make_shared<uint32_t>(120);
  wake.add_option("host", *host, "Its name; default: all that are away and can be woken");
  AddWholeNumber(wake, "--wait", *seconds, "How long to wait until it is there; default: 120", 0u, 86400u)
      ->type_name("SECONDS");
  wake.callback([=, &common, &command] {
    command = [=, &common](Client& client) {
      return RunWake(client, *host, absl::Seconds(*seconds), common.json);
    };
  });
}

void AddKeys(CLI::App& main, const Common& common, Command& command) {
  CLI::App& key = *main.add_subcommand("key", "Keys of those who use the home from other machines");
  key.require_subcommand(1);
  key.fallthrough();
  CLI::App& create = *key.add_subcommand("create", "Make a key: a file for gRPC, or a line for HTTP");
  auto request = std::make_shared<v1::CreateKeyRequest>();
  auto path = std::make_shared<std::string>();
  auto authority = std::make_shared<std::string>();
  CLI::Option_group* whose = create.add_option_group("whose");
  whose
      ->add_option_function<std::string>(
          "--client", [=](const std::string& name) { request->set_name(name); },
          "Of this one: write a file for `hearth --key FILE` and other gRPC clients")
      ->type_name("NAME");
  CLI::Option* api = whose->add_option_function<std::string>(
      "--api",
      [=](const std::string& name) {
        request->set_name(name);
        request->set_api_key(true);
      },
      "Of this one: print a key for browsers and programs that speak HTTP, once");
  api->type_name("NAME");
  whose->require_option(1);
  create
      .add_option_function<std::string>(
          "--role",
          [=](const std::string& role) {
            request->set_role(role == "admin" ? v1::ROLE_ADMIN : v1::ROLE_CLIENT);
          },
          "client (or user): generates and looks; admin: also loads, unloads, invites, forgets; default: "
          "client")
      ->check(CLI::IsMember({"client", "user", "admin"}).description(""));
  create.add_option("--out", *path, "File to write; default: NAME.key")->type_name("FILE")->excludes(api);
  create
      .add_option("--authority", *authority,
                  "File to write: the home's authority, by which its HTTPS port is known")
      ->type_name("FILE")
      ->needs(api);
  create.callback([=, &common, &command] {
    command = [=, &common](Client& client) {
      if (request->api_key()) return RunCreateApiKey(client, *request, *authority, common.json);
      const std::string file = path->empty() ? request->name() + ".key" : *path;
      return RunCreateKey(client, *request, file, common.json);
    };
  });
  key.add_subcommand("list", "Keys that count")->callback([&common, &command] {
    command = [&common](Client& client) { return RunKeys(client, common.json); };
  });
  CLI::App& revoke = *key.add_subcommand("revoke", "Let a key count no more, at once");
  auto name = std::make_shared<std::string>();
  revoke.add_option("name", *name, "Whose it is, or its id")->required();
  revoke.callback([=, &common, &command] {
    command = [=, &common](Client& client) { return RunRemove(client, *name, v1::ROLE_CLIENT, common.json); };
  });
}

int Main(int argc, char** argv) {
  BeginProgram();
  Interrupt::Block();
  gpr_set_log_function([](gpr_log_func_args*) {});  // what went wrong is in the status of the call
  Common common;
  Command command;
  CLI::App app(kDescription, "hearth");
  app.require_subcommand(1);
  app.fallthrough();
  app.set_version_flag("--version", std::string("hearth " HEARTH_VERSION));
  AddParsed(
      app, "--server", "HOST:PORT,...",
      [&common](const std::string& list) {
        common.server = list;
        for (const absl::string_view address : absl::StrSplit(list, ',')) {
          if (absl::Status status = CheckAddress({address.data(), address.size()}, 1); !status.ok())
            return status;
        }
        return absl::OkStatus();
      },
      "Any host of the cluster, or several: where one is away another is asked")
      ->envname("HEARTH_SERVER")
      ->default_str(kDefaultServer);
  AddParsed(
      app, "--key", "FILE", [&common](const std::string& path) { return ReadKey(path, common.key); },
      "Key for the encrypted port of another machine's home, which it names as the server")
      ->envname("HEARTH_KEY");
  app.add_flag("--json", common.json, "Print JSON, for programs");
  AddGenerate(app, common, command);
  AddChat(app, common, command);
  AddEmbed(app, common, command);
  AddInspection(app, common, command);
  AddDiagnosis(app, common, command);
  AddReport(app, common, command);
  AddTop(app, common, command);
  AddLibrary(app, common, command);
  AddLoading(app, common, command);
  AddHosts(app, common, command);
  AddPromote(app, common, command);
  AddPauses(app, common, command);
  AddWake(app, common, command);
  AddKeys(app, common, command);
  if (const std::optional<int> exit_code = ParseArguments(app, argc, argv)) return *exit_code;
  Interrupt::Get();
  if (const std::string warning = KeyWarning(common.key, absl::Now()); !warning.empty())
    std::fprintf(stderr, "hearth: %s\n", warning.c_str());
  Client client(ServerOf(common), common.key);
  return EndProgram("hearth", command(client));
}

}  // namespace
}  // namespace hearth

int main(int argc, char** argv) { return hearth::Main(argc, argv); }
