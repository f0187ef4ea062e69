#ifndef HEARTH_CLIENT_LIBRARY_HUB_H_
#define HEARTH_CLIENT_LIBRARY_HUB_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace hearth {

// Repositories of models as Hugging Face's hub serves them; all pure.

// What stands behind "hf:" in "hf:USER/REPO[:FILE]".
struct HubName {
  std::string repository;  // "USER/REPO"
  std::string wanted;      // a file, or a quantisation such as Q4_K_M; empty: the only model there is
};
absl::StatusOr<HubName> ParseHubName(std::string_view text);

struct HubFile {
  std::string path;  // in the repository
  uint64_t bytes = 0;
  std::string sha256;  // in hexadecimal; empty: the hub does not tell
};

// Where the files of a repository are listed, and where one of them is.
std::string HubListUrl(std::string_view endpoint, std::string_view repository);
std::string HubFileUrl(std::string_view endpoint, std::string_view repository, std::string_view path);

// The files that one page of the list names. DATA_LOSS for what is no such list.
absl::StatusOr<std::vector<HubFile>> ParseHubList(std::string_view json);

// The address of the list's next page, as the header "Link" says: <URL>; rel="next".
std::optional<std::string> NextPageOf(std::string_view link);

// The files of the model that is meant, its parts in their order. `wanted` is a path, else a file's name,
// else a quantisation, in small or capital letters. NOT_FOUND and INVALID_ARGUMENT name those there are and
// what to type; DATA_LOSS where parts are missing.
absl::StatusOr<std::vector<HubFile>> ChooseHubFiles(const std::vector<HubFile>& files, const HubName& name);

}  // namespace hearth

#endif  // HEARTH_CLIENT_LIBRARY_HUB_H_
