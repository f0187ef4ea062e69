#include "client/library/pull.h"

#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/library/hub.h"
#include "client/library/part_file.h"
#include "client/library/url.h"
#include "engine/base/split_name.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

constexpr uint64_t kMostListBytes = 16 << 20;
constexpr int kMostPages = 50;
constexpr uint32_t kMostParts = 1000;
constexpr size_t kMostTokenBytes = 1024;

absl::Status CheckToken(const std::string& token) {
  const bool good =
      token.size() <= kMostTokenBytes &&
      std::all_of(token.begin(), token.end(), [](unsigned char c) { return absl::ascii_isgraph(c); });
  return good ? absl::OkStatus()
              : absl::InvalidArgumentError("HF_TOKEN is no token: it has blanks or other signs; set it anew");
}

absl::StatusOr<DownloadRequest> RequestFor(const PullOptions& options, std::string_view what,
                                           const std::string& url, const std::string& name) {
  HEARTH_RETURN_IF_ERROR(CheckModelFileName(what, name));
  DownloadRequest request;
  request.url = url;
  request.path = absl::StrCat(options.folder, "/", name);
  request.connections = options.connections;
  return request;
}

// The URL's file, and where its name says that it is one of several parts, all of them.
absl::StatusOr<std::vector<DownloadRequest>> RequestsForUrl(const PullOptions& options) {
  HEARTH_RETURN_IF_ERROR(CheckUrl("what to pull", options.source));
  const std::string name = options.name.empty() ? LastNameOf(options.source) : options.name;
  const std::string_view what =
      options.name.empty() ? "the file's name in the URL (--name gives it another)" : "--name";
  const size_t behind_path = std::min(options.source.find_first_of("?#"), options.source.size());
  const std::optional<SplitName> parts = ParseSplitName(options.source.substr(0, behind_path));
  if (!parts || parts->parts == 1 || !options.name.empty()) {
    HEARTH_ASSIGN_OR_RETURN(DownloadRequest request, RequestFor(options, what, options.source, name));
    request.sha256 = absl::AsciiStrToLower(options.sha256);
    return std::vector{std::move(request)};
  }
  if (parts->parts > kMostParts || !options.sha256.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("it is one of ", parts->parts, " parts, which are fetched together",
                     options.sha256.empty() ? "; at most " : "",
                     options.sha256.empty() ? absl::StrCat(kMostParts, " are")
                                            : ": --sha256 would be of one; leave it out"));
  }
  std::vector<DownloadRequest> requests;
  for (uint32_t part = 1; part <= parts->parts; ++part) {
    const std::string url = absl::StrCat(parts->Of(part), options.source.substr(behind_path));
    HEARTH_ASSIGN_OR_RETURN(DownloadRequest request, RequestFor(options, what, url, LastNameOf(url)));
    requests.push_back(std::move(request));
  }
  return requests;
}

absl::StatusOr<std::vector<HubFile>> ListHub(const PullOptions& options, const HubName& name,
                                             const std::atomic<bool>& stop) {
  std::vector<HubFile> files;
  std::optional<std::string> url = HubListUrl(options.hub, name.repository);
  for (int page = 0; url && page < kMostPages; ++page) {
    HttpAnswer answer;
    HEARTH_ASSIGN_OR_RETURN(const std::string text,
                            FetchText(*url, kMostListBytes, options.http, stop, answer));
    absl::StatusOr<std::vector<HubFile>> more = ParseHubList(text);
    if (!more.ok())
      return absl::DataLossError(absl::StrCat("cannot read ", ShownUrl(*url), ": ", more.status().message()));
    std::move(more->begin(), more->end(), std::back_inserter(files));
    url = NextPageOf(answer.link);
    if (url && OriginOf(*url) != OriginOf(options.hub)) url.reset();
  }
  return files;
}

// What the hub has is to have this digest.
absl::Status Demand(const std::string& sha256, std::vector<DownloadRequest>& requests) {
  if (requests.size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("it has ", requests.size(), " parts, and --sha256 would be of one; leave it out"));
  }
  DownloadRequest& request = requests.front();
  const std::string wanted = absl::AsciiStrToLower(sha256);
  if (!request.sha256.empty() && absl::AsciiStrToLower(request.sha256) != wanted) {
    return absl::DataLossError(absl::StrCat("the hub's file has the digest (SHA-256) ", request.sha256,
                                            ", but should have ", wanted,
                                            "; somebody has changed it, or the digest is of another one"));
  }
  request.sha256 = wanted;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<DownloadRequest>> RequestsForHub(const PullOptions& options,
                                                            const std::atomic<bool>& stop) {
  HEARTH_ASSIGN_OR_RETURN(const HubName name, ParseHubName(std::string_view(options.source).substr(3)));
  if (!options.name.empty()) {
    return absl::InvalidArgumentError("--name is for URLs; the hub itself tells it");
  }
  HEARTH_RETURN_IF_ERROR(CheckUrl("HF_ENDPOINT", options.hub));
  HEARTH_RETURN_IF_ERROR(CheckToken(options.http.token));
  HEARTH_ASSIGN_OR_RETURN(const std::vector<HubFile> files, ListHub(options, name, stop));
  HEARTH_ASSIGN_OR_RETURN(const std::vector<HubFile> chosen, ChooseHubFiles(files, name));
  std::vector<DownloadRequest> requests;
  for (const HubFile& file : chosen) {
    HEARTH_ASSIGN_OR_RETURN(DownloadRequest request,
                            RequestFor(options, "the file's name in the repository",
                                       HubFileUrl(options.hub, name.repository, file.path),
                                       file.path.substr(file.path.rfind('/') + 1)));
    request.bytes = file.bytes;
    request.sha256 = file.sha256;
    requests.push_back(std::move(request));
  }
  if (!options.sha256.empty()) HEARTH_RETURN_IF_ERROR(Demand(options.sha256, requests));
  return requests;
}

// What a file takes of the disk already.
uint64_t TakenBytes(const std::string& path) {
  constexpr uint64_t kBlockBytes = 512;
  struct stat info;
  return stat(path.c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_blocks) * kBlockBytes : 0;
}

// Whether there is room for all of which the size is known: before hours of work for the first ones.
absl::Status CheckRoomForAll(const std::string& folder, const std::vector<DownloadRequest>& requests) {
  uint64_t needed = 0;
  for (const DownloadRequest& request : requests) {
    const uint64_t bytes = std::min(request.bytes.value_or(0), UINT64_MAX / (2 * requests.size()));
    needed += bytes - std::min(bytes, TakenBytes(request.path) + TakenBytes(request.path + ".part"));
  }
  return CheckRoom(folder, needed);
}

}  // namespace

absl::StatusOr<std::vector<Downloaded>> Pull(PullOptions options, const std::atomic<bool>& stop,
                                             const std::function<void(const PullProgress&)>& show) {
  const bool hub = options.source.starts_with("hf:");
  options.http.token_origin = hub ? OriginOf(options.hub) : "";
  HEARTH_ASSIGN_OR_RETURN(const std::vector<DownloadRequest> requests,
                          hub ? RequestsForHub(options, stop) : RequestsForUrl(options));
  HEARTH_RETURN_IF_ERROR(CheckRoomForAll(options.folder, requests));
  std::vector<Downloaded> files;
  for (const DownloadRequest& request : requests) {
    const auto show_one = [&](const DownloadProgress& progress) {
      show({files.size() + 1, requests.size(), progress});
    };
    HEARTH_ASSIGN_OR_RETURN(Downloaded file, Download(request, options.http, stop, show_one));
    files.push_back(std::move(file));
  }
  return files;
}

}  // namespace hearth
