#include "daemon/standby/home_state.h"

#include <filesystem>
#include <map>
#include <optional>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "daemon/identity/home.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

// What is sealed belongs to this name.
constexpr char kSealedAs[] = "the state of the home";

}  // namespace

absl::StatusOr<v1::HomeState> CollectHomeState(const HomeFiles& files, absl::Span<const ModelInfo> models) {
  v1::HomeState state;
  for (const char* name : kHomeTexts) {
    HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> text, files.Read(name));
    (*state.mutable_texts())[name] = text.value_or("");  // a home without members has no list
  }
  for (const ModelInfo& model : models) {
    if (model.state == ModelState::kFailed) continue;
    v1::StoredModel& stored = (*state.mutable_models())[model.name];
    stored.set_path(model.path);
    stored.set_objective(placement::ObjectiveText(model.objective));
  }
  return state;
}

absl::Status TakeHomeState(const v1::HomeState& state, const HomeFiles& files, StateStore& store) {
  for (const char* name : kHomeTexts) {
    if (!state.texts().contains(name))
      return absl::FailedPreconditionError(absl::StrCat("the state of the home lacks its text ", name));
  }
  for (const char* name : kHomeTexts) HEARTH_RETURN_IF_ERROR(files.Write(name, state.texts().at(name)));
  HEARTH_ASSIGN_OR_RETURN(const auto former, store.Models());
  for (const auto& [name, model] : former) HEARTH_RETURN_IF_ERROR(store.RemoveModel(name));
  for (const auto& [name, model] : state.models())
    HEARTH_RETURN_IF_ERROR(store.PutModel(name, {model.path(), model.objective()}));
  return absl::OkStatus();
}

absl::StatusOr<std::string> HomeIdOf(absl::string_view authority_pem) {
  const absl::StatusOr<Certificate> authority = ParseCertificate(authority_pem);
  if (authority.ok()) return authority->id.Text();
  return absl::FailedPreconditionError("the certificate of the home's authority is damaged");
}

std::string SealHomeState(const v1::HomeState& state, const Sealer& sealer) {
  return sealer.Seal(kSealedAs, state.SerializeAsString());
}

absl::StatusOr<v1::HomeState> OpenHomeState(absl::string_view sealed, const Sealer& sealer) {
  const absl::StatusOr<std::string> text = sealer.Open(kSealedAs, sealed);
  v1::HomeState state;
  if (text.ok() && state.ParseFromString(*text)) return state;
  return absl::FailedPreconditionError(
      "--standby: the state of the home was encrypted with another secret: give this host the same file as "
      "its "
      "coordinator");
}

std::vector<std::string> MissingModels(const v1::HomeState& state) {
  std::vector<std::string> missing;
  for (const auto& [name, model] : std::map(state.models().begin(), state.models().end())) {
    std::error_code error;
    if (!std::filesystem::exists(model.path(), error)) missing.push_back(name);
  }
  return missing;
}

}  // namespace hearth
