#include "daemon/standby/home_state.h"

#include <filesystem>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/identity/home.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

// What is sealed belongs to these names.
constexpr char kStateName[] = "the state of the home";
constexpr char kPlaceName[] = "the place of a standby";

// A home without members has no list; it has an authority.
bool MayBeEmpty(absl::string_view text) { return text == kHomeTexts.front(); }

absl::Status Lacks(absl::string_view text) {
  return absl::FailedPreconditionError(absl::StrCat("the state of the home lacks its text ", text));
}

template <typename Message>
absl::StatusOr<Message> OpenSealed(absl::string_view name, absl::string_view sealed, const Sealer& sealer) {
  const absl::StatusOr<std::string> text = sealer.Open(name, sealed);
  Message message;
  if (text.ok() && message.ParseFromString(*text)) return message;
  return absl::FailedPreconditionError(
      absl::StrCat("--standby: ", name, " was encrypted with another secret: give both hosts the same file"));
}

}  // namespace

absl::StatusOr<v1::HomeState> CollectHomeState(const HomeFiles& files, absl::Span<const ModelInfo> models) {
  v1::HomeState state;
  for (const char* name : kHomeTexts) {
    HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> text, files.Read(name));
    if (text.value_or("").empty() && !MayBeEmpty(name)) return Lacks(name);
    (*state.mutable_texts())[name] = text.value_or("");
  }
  for (const ModelInfo& model : models) {
    if (!model.adapters.empty()) continue;  // their files lie on this host only
    v1::StoredModel& stored = (*state.mutable_models())[model.name];
    stored.set_path(model.path);
    stored.set_objective(placement::ObjectiveText(model.objective));
    stored.set_draft(model.draft);
  }
  return state;
}

absl::Status TakeHomeState(const v1::HomeState& state, const HomeFiles& files, StateStore& store) {
  for (const char* name : kHomeTexts) {
    const auto text = state.texts().find(name);
    if (text == state.texts().end() || (text->second.empty() && !MayBeEmpty(name))) return Lacks(name);
  }
  HEARTH_RETURN_IF_ERROR(TermOf(state).status());
  for (const char* name : kHomeTexts) HEARTH_RETURN_IF_ERROR(files.Write(name, state.texts().at(name)));
  HEARTH_ASSIGN_OR_RETURN(const auto former, store.Models());
  for (const auto& [name, model] : former) HEARTH_RETURN_IF_ERROR(store.RemoveModel(name));
  for (const auto& [name, model] : state.models())
    HEARTH_RETURN_IF_ERROR(store.PutModel(name, {model.path(), model.objective(), model.draft()}));
  return absl::OkStatus();
}

absl::StatusOr<std::string> HomeIdOf(absl::string_view authority_pem) {
  const absl::StatusOr<Certificate> authority = ParseCertificate(authority_pem);
  if (authority.ok()) return authority->id.Text();
  return absl::FailedPreconditionError("the certificate of the home's authority is damaged");
}

absl::StatusOr<Term> TermOf(const v1::HomeState& state) {
  const auto authority = state.texts().find(kHomeTexts.back());
  if (authority == state.texts().end()) return Lacks(kHomeTexts.back());
  HEARTH_ASSIGN_OR_RETURN(std::string home, HomeIdOf(authority->second));
  return Term{std::move(home), state.term()};
}

std::string SealHomeState(const v1::HomeState& state, const Sealer& sealer) {
  return sealer.Seal(kStateName, state.SerializeAsString());
}

absl::StatusOr<v1::HomeState> OpenHomeState(absl::string_view sealed, const Sealer& sealer) {
  return OpenSealed<v1::HomeState>(kStateName, sealed, sealer);
}

std::string SealPlace(const v1::Leader& place, const Sealer& sealer) {
  return sealer.Seal(kPlaceName, place.SerializeAsString());
}

absl::StatusOr<v1::Leader> OpenPlace(absl::string_view sealed, const Sealer& sealer) {
  return OpenSealed<v1::Leader>(kPlaceName, sealed, sealer);
}

std::vector<std::string> MissingModels(const v1::HomeState& state,
                                       const std::function<std::string(const std::string&)>& find) {
  std::vector<std::string> missing;
  for (const auto& [name, model] : std::map(state.models().begin(), state.models().end())) {
    std::error_code error;
    if (!std::filesystem::exists(find(model.path()), error)) missing.push_back(name);
  }
  return missing;
}

}  // namespace hearth
