#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "daemon/model_tool/command.h"
#include "daemon/model_tool/model_flags.h"
#include "daemon/model_tool/print_json.h"
#include "daemon/model_tool/profile_result.h"
#include "daemon/model_tool/session.h"
#include "daemon/model_tool/text_chunks.h"
#include "engine/base/output_file.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/command_line/flags.h"
#include "engine/command_line/progress.h"
#include "engine/file/gguf_writer.h"
#include "engine/neuron/profile_file.h"
#include "engine/outline/ffn_layers.h"
#include "engine/outline/model_outline.h"
#include "engine/tools/activation_counter.h"
#include "engine/tools/firing_order.h"
#include "engine/tools/input_recorder.h"
#include "engine/tools/observed_device.h"
#include "engine/tools/powerinfer_profile.h"
#include "engine/tools/predictor_fit.h"
#include "engine/tools/predictor_layer.h"
#include "engine/tools/profile_picture.h"

namespace hearth::model_tool {
namespace {

using Shares = std::vector<std::vector<float>>;  // by layer

constexpr uint32_t kUsualChunk = 512;

struct ProfileFlags {
  std::string model_path;
  std::string text_path;  // empty: from_path says how often neurons fire
  std::string from_path;  // PowerInfer's files
  uint64_t from_tokens = 0;
  std::string out_path;  // empty: beside the model
  std::string svg_path;  // empty: no picture
  int threads = 0;
  uint32_t chunk = 0;  // 0: what the model was trained for, at most kUsualChunk
  uint64_t max_tokens = 0;
  float threshold = 0;
  bool predictor = false;
  double lost_mass = 0.02;
  uint64_t predictor_tokens = 8192;
  Replace replace = Replace::kIfForced;
  bool json = false;

  std::string out() const { return out_path.empty() ? ProfilePathOf(model_path) : out_path; }
};

// What would only be found out at the end is asked before the work.
absl::Status CheckOutputs(const ProfileFlags& flags) {
  for (const std::string& path : {flags.out(), flags.svg_path}) {
    if (path.empty()) continue;
    for (const std::string& read : {flags.model_path, flags.text_path, flags.from_path}) {
      if (!read.empty()) HEARTH_RETURN_IF_ERROR(OutputFile::CheckIsNot(path, read));
    }
    HEARTH_RETURN_IF_ERROR(OutputFile::Check(path, flags.replace));
  }
  return absl::OkStatus();
}

// Computes exactly what the model means, with neurons that cannot fire left out. Settles flags.chunk.
absl::StatusOr<std::unique_ptr<Session>> OpenModel(ProfileFlags& flags) {
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file, GgufFile::Open(flags.model_path));
  HEARTH_ASSIGN_OR_RETURN(const ModelSpec spec, ReadModelSpec(*file, {}));
  HEARTH_ASSIGN_OR_RETURN(flags.chunk, ChooseContext(flags.chunk, kUsualChunk, *file));
  flags.chunk = std::max(flags.chunk, 2u);
  ModelFlags model;
  model.path = flags.model_path;
  model.threads = flags.threads;
  model.sparsity = CheckSparsity(spec, SparsityMode::kExact).ok() ? "exact" : "dense";
  model.use_profile = false;
  return Session::Open(model, flags.chunk);
}

bool HasNeurons(const std::vector<FfnLayerSpec>& layers) {
  return std::any_of(layers.begin(), layers.end(),
                     [](const FfnLayerSpec& layer) { return !layer.block_neurons.empty(); });
}

uint64_t CountTokens(const std::vector<std::vector<TokenId>>& chunks) {
  uint64_t tokens = 0;
  for (const std::vector<TokenId>& chunk : chunks) tokens += chunk.size();
  return tokens;
}

// Runs the text through the model, whose feed-forward work `observers` look at.
absl::Status Observe(Session& session, const std::vector<std::vector<TokenId>>& chunks,
                     std::vector<FfnObserver*> observers) {
  std::vector<std::unique_ptr<ObservedDevice>> observed;
  std::vector<Device*> devices;
  for (Device* device : session.devices()) {
    observed.push_back(std::make_unique<ObservedDevice>(*device, observers));
    devices.push_back(observed.back().get());
  }
  session.decoder().SetDevices(devices);
  ProgressLine progress;
  const uint64_t all = CountTokens(chunks);
  uint64_t done = 0;
  absl::Status status;
  for (const std::vector<TokenId>& chunk : chunks) {
    progress.Show(done, all, absl::StrCat(done, " of ", all, " tokens"));
    status = session.Clear();
    if (status.ok()) {
      status = session.Append(
          chunk, false, [](size_t, absl::Span<float>) { return absl::OkStatus(); }, /*prompt=*/true);
    }
    if (!status.ok()) break;
    done += chunk.size();
  }
  session.decoder().SetDevices(session.devices());
  return status;
}

// Layers whose neurons can be predicted.
std::vector<uint32_t> PredictableLayers(const Session& session) {
  const std::vector<FfnLayerSpec>& layers = session.model().outline().ffn_specs;
  std::vector<uint32_t> predictable;
  for (uint32_t i = 0; i < layers.size(); ++i) {
    if (CanPredict(layers[i])) predictable.push_back(i);
  }
  return predictable;
}

absl::Status InLayer(uint32_t layer, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat("layer ", layer, ": ", status.message()));
}

// Fits the predictors of `layers`, each on a thread of its own; those that do not pay are left out.
absl::Status FitTogether(const ProfileFlags& flags, Session& session, absl::Span<const uint32_t> layers,
                         InputRecorder& inputs, Predictors& predictors) {
  std::vector<PredictorTask> tasks;
  for (const uint32_t layer : layers) {
    absl::StatusOr<PredictorTask> task =
        MakePredictorTask(session.model().outline(), layer, inputs.Take(layer), *session.devices()[0],
                          session.decoder().options().max_rows);
    if (!task.ok()) return InLayer(layer, task.status());
    tasks.push_back(*std::move(task));
  }
  std::vector<absl::StatusOr<std::optional<Predictor>>> fitted(layers.size(), std::nullopt);
  session.pool().ParallelFor(layers.size(), 1, [&](size_t begin, size_t end, int) {
    for (size_t i = begin; i < end; ++i) fitted[i] = FitPredictor(tasks[i], {.lost_mass = flags.lost_mass});
  });
  for (size_t i = 0; i < layers.size(); ++i) {
    if (!fitted[i].ok()) return InLayer(layers[i], fitted[i].status());
    if (*fitted[i]) predictors.emplace(layers[i], **std::move(fitted[i]));
  }
  return absl::OkStatus();
}

absl::StatusOr<Predictors> FitPredictors(const ProfileFlags& flags, Session& session, InputRecorder& inputs) {
  Predictors predictors;
  const std::vector<uint32_t> layers = PredictableLayers(session);
  const auto together = static_cast<size_t>(session.pool().threads());
  ProgressLine progress;
  for (size_t begin = 0; begin < layers.size(); begin += together) {
    progress.Show(begin, layers.size(),
                  absl::StrCat("predictors of ", begin, " of ", layers.size(), " layers"));
    HEARTH_RETURN_IF_ERROR(FitTogether(flags, session, absl::MakeConstSpan(layers).subspan(begin, together),
                                       inputs, predictors));
  }
  return predictors;
}

absl::Status PrintResults(const ProfileFlags& flags, uint64_t tokens, double seconds,
                          const std::vector<LayerResult>& results) {
  if (flags.json) {
    nlohmann::json document = {
        {"out", flags.out()}, {"tokens", tokens}, {"seconds", seconds}, {"layers", nlohmann::json::array()}};
    for (const LayerResult& result : results) document["layers"].push_back(ToJson(result));
    return PrintJson(document);
  }
  std::string text;
  size_t predicted = 0;
  for (const LayerResult& result : results) {
    text += ToText(result);
    predicted += result.predictor != nullptr ? 1 : 0;
  }
  absl::StrAppend(&text, Printable(flags.out()), ": the profile of ", tokens, " tokens");
  if (flags.predictor) absl::StrAppend(&text, " and predictors for ", predicted, " layers");
  return Print(absl::StrCat(text, absl::StrFormat(", made in %.1f s\n", seconds)));
}

absl::Status WritePicture(const ProfileFlags& flags, uint64_t tokens, const Shares& shares) {
  if (flags.svg_path.empty()) return absl::OkStatus();
  std::vector<FiringOrder> orders;
  for (const std::vector<float>& layer : shares) orders.push_back(OrderByFiring(layer));
  const std::string name = flags.model_path.substr(flags.model_path.find_last_of('/') + 1);
  const std::string title = absl::StrCat(name, ": how often neurons fire, ", tokens, " tokens");
  return WriteFile(flags.svg_path, ProfilePicture(title, orders), flags.replace);
}

// Everything that is learned from the text.
struct Learned {
  uint64_t tokens = 0;
  Shares shares;
  Predictors predictors;
};

absl::StatusOr<Learned> Learn(const ProfileFlags& flags, Session& session,
                              const std::vector<std::vector<TokenId>>& chunks) {
  const std::vector<FfnLayerSpec>& layers = session.model().outline().ffn_specs;
  Learned learned;
  learned.tokens = CountTokens(chunks);
  ActivationCounter counter(layers, flags.threshold);
  InputRecorder recorder(layers, (learned.tokens + flags.predictor_tokens - 1) / flags.predictor_tokens);
  std::vector<FfnObserver*> observers = {&counter};
  if (flags.predictor) observers.push_back(&recorder);
  HEARTH_RETURN_IF_ERROR(Observe(session, chunks, observers));
  learned.shares = counter.Shares();
  if (flags.predictor) {
    HEARTH_ASSIGN_OR_RETURN(learned.predictors, FitPredictors(flags, session, recorder));
  }
  return learned;
}

absl::Status CheckHasNeurons(const ProfileFlags& flags, const std::vector<FfnLayerSpec>& layers) {
  if (HasNeurons(layers)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(flags.model_path, " has no feed-forward layers to profile"));
}

absl::Status CheckModel(const ProfileFlags& flags, const Session& session) {
  HEARTH_RETURN_IF_ERROR(CheckHasNeurons(flags, session.model().outline().ffn_specs));
  if (!flags.predictor || !PredictableLayers(session).empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--predictor: ", flags.model_path,
                   " has no layer with ReLU and without experts, so nothing could be skipped; profile it "
                   "without"));
}

// Writes and prints it.
absl::Status Finish(const ProfileFlags& flags, const GgufFile& model, const std::vector<FfnLayerSpec>& layers,
                    const Learned& learned, std::chrono::steady_clock::time_point start) {
  GgufWriter writer;
  DescribeProfile(model, learned.tokens, learned.shares, writer);
  for (const auto& [layer, predictor] : learned.predictors) AddPredictor(layer, predictor, writer);
  HEARTH_RETURN_IF_ERROR(model.CheckUnchanged());
  HEARTH_RETURN_IF_ERROR(writer.Write(flags.out(), flags.replace));
  HEARTH_RETURN_IF_ERROR(WritePicture(flags, learned.tokens, learned.shares));
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return PrintResults(flags, learned.tokens, seconds, Summarize(layers, learned.shares, learned.predictors));
}

// Of PowerInfer's files.
absl::Status ConvertProfile(const ProfileFlags& flags) {
  const auto start = std::chrono::steady_clock::now();
  HEARTH_RETURN_IF_ERROR(CheckOutputs(flags));
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file, GgufFile::Open(flags.model_path));
  HEARTH_ASSIGN_OR_RETURN(const ModelOutline outline, OutlineModel(*file, {}));
  HEARTH_RETURN_IF_ERROR(CheckHasNeurons(flags, outline.ffn_specs));
  HEARTH_ASSIGN_OR_RETURN(PowerInferProfile profile,
                          ReadPowerInferProfile(flags.from_path, outline.ffn_specs, flags.from_tokens));
  return Finish(flags, *file, outline.ffn_specs, {profile.tokens, std::move(profile.shares), {}}, start);
}

absl::Status ProfileModel(ProfileFlags flags) {
  if (flags.text_path.empty() == flags.from_path.empty()) {
    return absl::InvalidArgumentError(
        "give --text, a text to measure on, or --from, what PowerInfer has counted");
  }
  if (!flags.from_path.empty()) return ConvertProfile(flags);
  const auto start = std::chrono::steady_clock::now();
  HEARTH_RETURN_IF_ERROR(CheckOutputs(flags));
  HEARTH_ASSIGN_OR_RETURN(const std::string text, ReadText(flags.text_path));
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, OpenModel(flags));
  HEARTH_RETURN_IF_ERROR(CheckModel(flags, *session));
  HEARTH_ASSIGN_OR_RETURN(const Tokenizer* tokenizer, session->tokenizer());
  const auto chunks = TextChunks(*tokenizer, text, flags.chunk, flags.max_tokens);
  HEARTH_ASSIGN_OR_RETURN(const Learned learned, Learn(flags, *session, chunks));
  return Finish(flags, session->file(), session->model().outline().ffn_specs, learned, start);
}

}  // namespace

void AddProfile(CLI::App& app, Job& job) {
  auto flags = std::make_shared<ProfileFlags>();
  CLI::App* command = app.add_subcommand("profile",
                                         "measures on text how often each neuron, or expert, of a model "
                                         "fires, or takes that from PowerInfer's files");
  command->add_option("model", flags->model_path, "the model, a GGUF or PowerInfer file")->required();
  CLI::Option* text = command->add_option("--text", flags->text_path, "the text file to measure on");
  CLI::Option* from = command
                          ->add_option("--from", flags->from_path,
                                       "instead of measuring, take what PowerInfer has counted: a folder of "
                                       "activation_0.pt, activation_1.pt and so on, or a .generated.gpuidx "
                                       "file, which tells hot neurons from cold ones and no more")
                          ->excludes(text);
  AddWholeNumber(*command, "--from-tokens", flags->from_tokens,
                 "tokens on which PowerInfer has counted; 0: as many as the neuron that fired most",
                 uint64_t{0}, uint64_t{1} << 50)
      ->needs(from);
  command->add_option(
      "--out", flags->out_path,
      "the profile to write; unless given M.profile beside the model M.gguf, where every command "
      "finds it");
  command->add_option("--svg", flags->svg_path, "also draw a picture of it into this file");
  AddThreadsFlag(*command, flags->threads);
  AddWholeNumber(
      *command, "--chunk", flags->chunk,
      "tokens that are evaluated together; unless given 512, or as many as the model was trained for", 2u,
      1u << 20, /*show_default=*/false);
  AddWholeNumber(*command, "--max-tokens", flags->max_tokens, "only the first tokens of the text; 0: all");
  AddDecimal(*command, "--threshold", flags->threshold,
             "a neuron fires when its hidden value is larger than this, whatever its sign; with 0 nearly all "
             "neurons of models without ReLU fire");
  command
      ->add_flag("--predictor", flags->predictor,
                 "also make predictors of which neurons fire, for models with ReLU: generated tokens then "
                 "leave the others out")
      ->excludes(from);
  AddParsed(
      *command, "--lost-mass", "SHARE",
      [flags](const std::string& share) -> absl::Status {
        HEARTH_ASSIGN_OR_RETURN(const double lost, ParseDecimal(share, 0.0001, 0.5));
        flags->lost_mass = lost;
        return absl::OkStatus();
      },
      "of a layer's output that predictors may leave out, 0.0001 to 0.5; 0.02 unless given");
  AddWholeNumber(*command, "--predictor-tokens", flags->predictor_tokens,
                 "tokens of the text that predictors are made from and tried on", uint64_t{64},
                 uint64_t{1} << 20);
  AddForceFlag(*command, flags->replace);
  command->add_flag("--json", flags->json, "print one JSON object");
  command->callback([flags, &job] { job = [flags] { return ProfileModel(*flags); }; });
}

}  // namespace hearth::model_tool
