#include "client/library/download.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/library/chunks.h"
#include "client/library/part_file.h"
#include "client/library/prefix_digest.h"
#include "client/library/url.h"
#include "engine/base/check.h"
#include "engine/base/checksum.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kWaitMs = 100;
constexpr uint32_t kMostRestarts = 2;
constexpr uint64_t kWriteBehindBytes = 4 << 20;
constexpr std::chrono::seconds kBetweenSaves{10};
constexpr std::string_view kMagic = "GGUF", kPowerInferMagic = "PWRI";
constexpr uint64_t kLeastFileBytes = 24;  // magic, version and two counts

class Downloader {
 public:
  Downloader(const DownloadRequest& request, const HttpOptions& options, const std::atomic<bool>& stop,
             const ShowDownload& show, PartFile part);

  // Fetches, checks, and moves into place; else leaves what can be gone on with.
  absl::StatusOr<Downloaded> Run();

 private:
  struct Transfer {
    Chunks::Piece piece;
    uint64_t at = 0;      // the next byte in the file
    uint64_t behind = 0;  // before which all is on its way to the disk
    bool begun = false;   // its answer has been looked at
    std::unique_ptr<HttpRequest> request;
  };

  void Resume();
  absl::Status Fetch();
  absl::StatusOr<Downloaded> Check();
  // Whether a later run may go on with what has come.
  bool CanKeep() const;
  absl::Status Save();
  absl::Status LeaveBehind(absl::Status status);

  void StartTransfers();
  void Start(Transfer& transfer, const Chunks::Piece& piece);
  absl::Status OnBytes(Transfer& transfer, const HttpAnswer& answer, absl::Span<const uint8_t> bytes);
  absl::Status OnAnswer(Transfer& transfer, const HttpAnswer& answer);
  absl::Status OnWhole(Transfer& transfer, const HttpAnswer& answer);
  absl::Status OnRange(Transfer& transfer, const HttpAnswer& answer);
  absl::Status CheckMagic(uint64_t at, absl::Span<const uint8_t> bytes);
  // The answer tells of a file of so many bytes, of which nothing has come.
  absl::Status Begin(uint64_t bytes, const HttpAnswer& answer);
  // It is another file than that of which some has come.
  absl::Status Changed();

  void OnEnd(Transfer& transfer, CURLcode code);
  void TryAgain(const HttpEnd& end, uint32_t http_status);
  void StartAnew();
  void Fail(absl::Status status);
  // The file is not what it should be: nothing of it is kept.
  absl::Status Useless(absl::Status status);
  void Show(std::string_view doing);

  const DownloadRequest& request_;
  const std::atomic<bool>& stop_;
  const ShowDownload& show_;
  const std::string identity_;
  PartFile part_;
  HttpLoop loop_;
  std::vector<Transfer> transfers_;
  size_t connections_;
  Retries retries_;
  Clock::time_point not_before_ = Clock::now();  // for the next request
  Clock::time_point next_save_ = Clock::now() + kBetweenSaves;
  std::string waiting_;  // why

  std::optional<Chunks> chunks_;  // nullopt: nothing is known of the file yet
  std::unique_ptr<PrefixDigest> digest_;
  std::string validator_;
  bool owned_ = false;     // what lies in the part file is ours
  bool resumed_ = false;   // some of it is of an earlier run
  bool answered_ = false;  // the server has ever answered
  bool known_ = false;     // its answers are about the file that is being fetched: several may be asked for
  bool whole_ = false;     // it does not know ranges
  bool changed_ = false;
  bool useless_ = false;
  uint32_t restarts_ = 0;
  absl::Status failure_;
};

std::string IdentityOf(const DownloadRequest& request) {
  if (!request.sha256.empty()) return request.sha256;
  const auto* const url = reinterpret_cast<const uint8_t*>(request.url.data());
  return absl::StrFormat("%016x", Checksum({url, request.url.size()}));
}

Downloader::Downloader(const DownloadRequest& request, const HttpOptions& options,
                       const std::atomic<bool>& stop, const ShowDownload& show, PartFile part)
    : request_(request),
      stop_(stop),
      show_(show),
      identity_(IdentityOf(request)),
      part_(std::move(part)),
      transfers_(std::max<uint32_t>(request.connections, 1)),
      connections_(transfers_.size()),
      retries_(options.retries) {
  for (Transfer& transfer : transfers_) {
    const auto sink = [this, &transfer](const HttpAnswer& answer, absl::Span<const uint8_t> bytes) {
      return OnBytes(transfer, answer, bytes);
    };
    transfer.request = std::make_unique<HttpRequest>(loop_, options, sink);
  }
}

absl::StatusOr<Downloaded> Downloader::Run() {
  Resume();
  for (;;) {
    if (absl::Status status = Fetch(); !status.ok()) return LeaveBehind(std::move(status));
    absl::StatusOr<Downloaded> checked = Check();
    if (checked.ok()) return checked;
    // What an earlier run left may be of another file.
    if (!useless_ || !std::exchange(resumed_, false)) return LeaveBehind(checked.status());
    useless_ = false;
    StartAnew();
  }
}

void Downloader::Resume() {
  const std::optional<PartFile::Record> record = part_.ReadRecord();
  owned_ = !record;
  if (!record || record->identity != identity_ || (request_.bytes && *request_.bytes != record->bytes))
    return;
  chunks_ = Chunks::Restore(record->bytes, record->done);
  owned_ = true;
  if (!chunks_) return;
  resumed_ = true;
  validator_ = record->validator;
  digest_ = std::make_unique<PrefixDigest>(part_.fd());
  digest_->Extend(chunks_->prefix_bytes());
}

absl::Status Downloader::Fetch() {
  while (!chunks_ || !chunks_->complete()) {
    StartTransfers();
    HEARTH_RETURN_IF_ERROR(loop_.Run(kWaitMs, stop_, [this](CURL* handle, CURLcode code) {
      const auto transfer =
          std::find_if(transfers_.begin(), transfers_.end(),
                       [handle](const Transfer& candidate) { return candidate.request->handle() == handle; });
      OnEnd(*transfer, code);
    }));
    HEARTH_RETURN_IF_ERROR(failure_);
    Show(waiting_.empty() || Clock::now() >= not_before_ ? "" : waiting_);
    if (Clock::now() < next_save_) continue;
    if (CanKeep()) HEARTH_RETURN_IF_ERROR(Save());
    next_save_ = Clock::now() + kBetweenSaves;
  }
  return absl::OkStatus();
}

absl::StatusOr<Downloaded> Downloader::Check() {
  const uint64_t bytes = chunks_->bytes();
  while (!digest_->WaitFor(bytes, kWaitMs)) {
    if (stop_) return absl::CancelledError();
    show_({digest_->read_bytes(), bytes, "checking"});
  }
  HEARTH_ASSIGN_OR_RETURN(const std::string sha256, digest_->Finish());
  if (!request_.sha256.empty() && sha256 != request_.sha256) {
    return Useless(
        absl::DataLossError(absl::StrCat("its digest (SHA-256) is ", sha256, ", but should be ",
                                         request_.sha256, "; somebody has changed or damaged it")));
  }
  HEARTH_RETURN_IF_ERROR(part_.Commit(bytes));
  return Downloaded{request_.path, bytes, sha256, !request_.sha256.empty()};
}

bool Downloader::CanKeep() const {
  return chunks_ && chunks_->done_bytes() > 0 && !whole_ && !useless_ &&
         (!request_.sha256.empty() || !validator_.empty());
}

absl::Status Downloader::Save() {
  return part_.Save({identity_, validator_, chunks_->bytes(), chunks_->done()});
}

absl::Status Downloader::LeaveBehind(absl::Status status) {
  for (Transfer& transfer : transfers_) transfer.request->Abandon();
  std::string message(status.message());
  if (!absl::IsCancelled(status))
    message = absl::StrCat("cannot fetch ", ShownUrl(request_.url), ": ", message);
  if (CanKeep() && Save().ok()) {
    absl::StrAppend(&message, message.empty() ? "" : "; ", "what has come stays in ", part_.part_path(),
                    ", and the same command goes on from there");
  } else if (owned_) {
    part_.Remove();
  }
  return absl::Status(status.code(), message);
}

void Downloader::StartTransfers() {
  if (Clock::now() < not_before_ || whole_) return;
  const size_t most = known_ ? connections_ : 1;
  size_t active = 0;
  for (const Transfer& transfer : transfers_) active += transfer.request->active();
  for (Transfer& transfer : transfers_) {
    if (active >= most) return;
    if (transfer.request->active()) continue;
    const std::optional<Chunks::Piece> piece =
        chunks_ ? chunks_->Take() : Chunks::Piece{0, 0, request_.bytes.value_or(Chunks::kLeastBytes)};
    if (!piece) return;
    Start(transfer, *piece);
    ++active;
  }
}

void Downloader::Start(Transfer& transfer, const Chunks::Piece& piece) {
  transfer.piece = piece;
  transfer.at = transfer.behind = piece.begin;
  transfer.begun = false;
  std::vector<std::string> headers = {
      absl::StrCat("Range: bytes=", piece.begin, "-", std::max<uint64_t>(piece.end, 1) - 1)};
  // Bytes that have a digest need no other sign that they belong together.
  if (request_.sha256.empty() && !validator_.empty())
    headers.push_back(absl::StrCat("If-Range: ", validator_));
  transfer.request->Start(request_.url, headers);
}

absl::Status Downloader::OnBytes(Transfer& transfer, const HttpAnswer& answer,
                                 absl::Span<const uint8_t> bytes) {
  if (!std::exchange(transfer.begun, true)) HEARTH_RETURN_IF_ERROR(OnAnswer(transfer, answer));
  if (bytes.size() > transfer.piece.end - transfer.at) {
    return Useless(absl::DataLossError("the server sends more than it announced"));
  }
  HEARTH_RETURN_IF_ERROR(CheckMagic(transfer.at, bytes));
  HEARTH_RETURN_IF_ERROR(part_.Write(transfer.at, bytes));
  chunks_->Add(transfer.at, bytes.size());
  transfer.at += bytes.size();
  if (transfer.at - transfer.behind >= kWriteBehindBytes || transfer.at == transfer.piece.end) {
    part_.WriteBehind(transfer.behind, transfer.at - transfer.behind);
    transfer.behind = transfer.at;
  }
  digest_->Extend(chunks_->prefix_bytes());
  if (!whole_) retries_.Succeeded(bytes.size());  // else a further try has to begin anew
  return absl::OkStatus();
}

absl::Status Downloader::OnAnswer(Transfer& transfer, const HttpAnswer& answer) {
  HEARTH_RETURN_IF_ERROR(answer.status == 200 ? OnWhole(transfer, answer) : OnRange(transfer, answer));
  known_ = true;
  waiting_.clear();
  return absl::OkStatus();
}

absl::Status Downloader::OnWhole(Transfer& transfer, const HttpAnswer& answer) {
  if (chunks_) return Changed();
  const std::optional<uint64_t> bytes = answer.content_length ? answer.content_length : request_.bytes;
  if (!bytes) {
    return absl::UnavailableError(
        "the server does not say how long the file is, so nobody could tell whether all of "
        "it came; fetch it from another server");
  }
  HEARTH_RETURN_IF_ERROR(Begin(*bytes, answer));
  whole_ = true;
  transfer.piece = {0, 0, *bytes};
  return absl::OkStatus();
}

absl::Status Downloader::OnRange(Transfer& transfer, const HttpAnswer& answer) {
  const std::optional<ContentRange> range = ParseContentRange(answer.content_range);
  if (!range || !range->total || range->begin != transfer.at || range->end > transfer.piece.end) {
    return absl::UnavailableError("the server sends other bytes than it was asked for");
  }
  if (!chunks_) {
    HEARTH_RETURN_IF_ERROR(Begin(*range->total, answer));
    transfer.piece = *chunks_->Take();
  }
  const bool same = request_.sha256.empty() ? answer.Validator() == validator_ : true;
  if (*range->total != chunks_->bytes() || !same) return Changed();
  transfer.piece.end = std::min(range->end, transfer.piece.end);
  return absl::OkStatus();
}

absl::Status Downloader::CheckMagic(uint64_t at, absl::Span<const uint8_t> bytes) {
  for (size_t i = 0; i < bytes.size() && at + i < kMagic.size(); ++i) {
    const char letter = static_cast<char>(bytes[i]);
    if (letter == kMagic[at + i] || letter == kPowerInferMagic[at + i]) continue;
    return Useless(absl::InvalidArgumentError(
        bytes[0] == '<' ? "it is a web page, not a GGUF file; take the link of the file itself"
                        : "it is no GGUF file"));
  }
  return absl::OkStatus();
}

absl::Status Downloader::Begin(uint64_t bytes, const HttpAnswer& answer) {
  if (request_.bytes && bytes != *request_.bytes) {
    return absl::DataLossError(absl::StrCat("it has ", bytes, " bytes, but should have ", *request_.bytes));
  }
  if (bytes < kLeastFileBytes) {
    return absl::InvalidArgumentError(
        bytes == 0 ? "it is empty" : absl::StrCat("it has ", bytes, " bytes, too few for a GGUF file"));
  }
  owned_ = true;
  HEARTH_RETURN_IF_ERROR(part_.Reserve(bytes));
  chunks_.emplace(bytes);
  digest_ = std::make_unique<PrefixDigest>(part_.fd());
  validator_ = answer.Validator();
  return absl::OkStatus();
}

absl::Status Downloader::Changed() {
  changed_ = true;
  return absl::AbortedError("it changes while it is fetched");
}

void Downloader::OnEnd(Transfer& transfer, CURLcode code) {
  std::optional<HttpEnd> end = transfer.request->Ended(code);
  const uint32_t http_status = transfer.request->answer().status;
  answered_ = answered_ || http_status != 0;
  if (!end) return;
  // Nobody asks for a range of an empty file.
  if (http_status == 416) changed_ = chunks_.has_value();
  if (std::exchange(changed_, false)) {
    StartAnew();
    if (++restarts_ > kMostRestarts) Fail(absl::AbortedError("it changes while it is fetched"));
    return;
  }
  if (http_status == 416) return Fail(absl::InvalidArgumentError("it is empty"));
  if (chunks_ && !whole_) chunks_->Release(transfer.piece);
  if (end->kind == HttpEnd::kDone && !chunks_) return Fail(absl::InvalidArgumentError("it is empty"));
  if (end->kind == HttpEnd::kDone && transfer.at == transfer.piece.end) return;
  if (end->kind == HttpEnd::kDone) {
    *end = {HttpEnd::kAgain,
            absl::UnavailableError("the server ended before all had come that it announced")};
  }
  if (end->kind == HttpEnd::kFailed || (end->kind == HttpEnd::kUnreachable && !answered_))
    return Fail(end->status);
  if (whole_) StartAnew();
  TryAgain(*end, http_status);
}

void Downloader::TryAgain(const HttpEnd& end, uint32_t http_status) {
  if (Clock::now() < not_before_) return;  // it is what another connection has just met
  const std::optional<double> seconds = retries_.WaitSeconds(end.wait_seconds);
  if (!seconds) return Fail(end.status);
  if (http_status == 429 || http_status == 503) connections_ = std::max<size_t>(connections_ / 2, 1);
  not_before_ = Clock::now() + std::chrono::milliseconds(static_cast<int64_t>(*seconds * 1000));
  waiting_ = absl::StrCat("trying again: ", end.status.message());
}

void Downloader::StartAnew() {
  for (Transfer& transfer : transfers_) transfer.request->Abandon();
  chunks_.reset();
  digest_.reset();
  validator_.clear();
  known_ = whole_ = false;
}

void Downloader::Fail(absl::Status status) {
  if (failure_.ok()) failure_ = std::move(status);
}

absl::Status Downloader::Useless(absl::Status status) {
  useless_ = true;
  return status;
}

void Downloader::Show(std::string_view doing) {
  show_(
      {chunks_ ? chunks_->done_bytes() : 0, chunks_ ? chunks_->bytes() : request_.bytes.value_or(0), doing});
}

// The digest of an open file.
absl::StatusOr<std::string> DigestOf(int fd, uint64_t bytes, const std::atomic<bool>& stop,
                                     const ShowDownload& show) {
  PrefixDigest digest(fd);
  digest.Extend(bytes);
  while (!digest.WaitFor(bytes, kWaitMs)) {
    if (stop) return absl::CancelledError();
    show({digest.read_bytes(), bytes, "checking"});
  }
  return digest.Finish();
}

// What is to be said of the file that lies at the place already.
absl::StatusOr<Downloaded> CheckPresent(const DownloadRequest& request, const std::atomic<bool>& stop,
                                        const ShowDownload& show) {
  constexpr char kHint[] = "; remove it to fetch it anew (hearth rm), or choose another folder with --to";
  if (request.sha256.empty()) {
    return absl::AlreadyExistsError(absl::StrCat(request.path, " is there already", kHint));
  }
  const int fd = open(request.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot read ", request.path));
  struct stat info;
  const uint64_t bytes =
      fstat(fd, &info) == 0 && S_ISREG(info.st_mode) ? static_cast<uint64_t>(info.st_size) : 0;
  const absl::StatusOr<std::string> sha256 = DigestOf(fd, bytes, stop, show);
  close(fd);
  if (!sha256.ok()) return sha256.status();
  if (*sha256 == request.sha256) return Downloaded{request.path, bytes, *sha256, true};
  return absl::AlreadyExistsError(
      absl::StrCat(request.path, " is there already and is another file (SHA-256 ", *sha256, ")", kHint));
}

}  // namespace

absl::StatusOr<Downloaded> Download(const DownloadRequest& request, const HttpOptions& options,
                                    const std::atomic<bool>& stop, const ShowDownload& show) {
  std::error_code error;
  if (std::filesystem::exists(std::filesystem::symlink_status(request.path, error))) {
    return CheckPresent(request, stop, show);
  }
  HEARTH_ASSIGN_OR_RETURN(PartFile part, PartFile::Open(request.path));
  return Downloader(request, options, stop, show, std::move(part)).Run();
}

}  // namespace hearth
