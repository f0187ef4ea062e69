#include "daemon/weights/model_files.h"

#include <filesystem>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/weights/model_file.h"
#include "engine/base/printable.h"
#include "engine/base/split_name.h"

namespace hearth {
namespace {

namespace fs = std::filesystem;

constexpr int kMostFiles = 4096;
constexpr size_t kLongestName = 255;  // of Linux
constexpr uint64_t kMostBytes = uint64_t{1} << 60;

bool IsFileName(const std::string& name) {
  return !name.empty() && name.size() <= kLongestName && name.front() != '.' &&
         name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
}

}  // namespace

ServedFiles FilesOf(const std::string& path, const std::string& digest, std::shared_ptr<const GgufFile> file,
                    std::shared_ptr<const GgufFile> profile) {
  ServedFiles model{{path, digest, {}}, std::move(file), std::move(profile)};
  const std::optional<SplitName> split = ParseSplitName(model.file->name());
  uint32_t part = 0;
  for (const absl::Span<const uint8_t> bytes : model.file->parts()) {
    const std::string name = split ? split->Of(++part) : model.file->name();
    model.files.files.push_back({fs::path(name).filename(), bytes.size()});
  }
  if (model.profile != nullptr) {
    model.files.files.push_back(
        {fs::path(model.profile->name()).filename(), model.profile->bytes().size(), true});
  }
  return model;
}

std::optional<absl::Span<const uint8_t>> BytesOf(const ServedFiles& model, std::string_view name) {
  const std::vector<absl::Span<const uint8_t>> parts = model.file->parts();
  for (size_t i = 0; i < model.files.files.size(); ++i) {
    const ModelFiles::Named& file = model.files.files[i];
    if (file.name == name) return file.beside ? model.profile->bytes() : parts[i];
  }
  return std::nullopt;
}

v1::ModelFiles ToProto(const ModelFiles& model) {
  v1::ModelFiles proto;
  proto.set_path(model.path);
  proto.set_model_digest(model.digest);
  for (const ModelFiles::Named& file : model.files) {
    v1::NamedFile& named = *proto.add_files();
    named.set_name(file.name);
    named.set_bytes(file.bytes);
    named.set_beside(file.beside);
  }
  return proto;
}

absl::StatusOr<ModelFiles> FromProto(const v1::ModelFiles& proto) {
  ModelFiles model{proto.path(), proto.model_digest(), {}};
  const auto refuse = [&](const std::string& what) {
    return absl::InvalidArgumentError(
        absl::StrCat("the coordinator's files of ", Printable(proto.path()), ": ", what));
  };
  if (!IsDigest(model.digest)) return refuse("their digest is none");
  if (proto.files().empty() || proto.files_size() > kMostFiles) return refuse("none, or too many");
  std::set<std::string> names;
  uint64_t left = kMostBytes;
  for (const v1::NamedFile& file : proto.files()) {
    if (!IsFileName(file.name()) || !names.insert(file.name()).second) return refuse("a name is none");
    if (file.bytes() > left) return refuse("they are larger than any disk");
    left -= file.bytes();
    model.files.push_back({file.name(), file.bytes(), file.beside()});
  }
  return model;
}

}  // namespace hearth
