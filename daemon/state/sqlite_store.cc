#include "daemon/state/sqlite_store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cstring>
#include <iterator>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/types/span.h"
#include "engine/base/mutex.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

constexpr int kPageBytes = 4096;

// What makes the tables of each version from those of the one before; the first has none. Tokens lie in
// pieces, in the order in which they were generated, each known by the place of its first one.
constexpr const char* kChanges[] = {
    "CREATE TABLE requests (caller TEXT, id TEXT, kind INTEGER, content BLOB, digest TEXT, seed INTEGER,"
    "  arrived_us INTEGER, used_us INTEGER, PRIMARY KEY (caller, id)) WITHOUT ROWID;"
    "CREATE TABLE tokens (caller TEXT, id TEXT, first INTEGER, tokens BLOB, PRIMARY KEY (caller, id, first))"
    "  WITHOUT ROWID;"
    "CREATE TABLE models (name TEXT PRIMARY KEY, path TEXT) WITHOUT ROWID;",
    "ALTER TABLE models ADD COLUMN objective TEXT;",
    "CREATE TABLE hosts (id TEXT PRIMARY KEY, content BLOB) WITHOUT ROWID;",
    "ALTER TABLE models ADD COLUMN draft TEXT; ALTER TABLE models ADD COLUMN adapters TEXT;",
};
constexpr int kVersion = std::size(kChanges);

struct CloseDatabase {
  void operator()(sqlite3* database) const { sqlite3_close(database); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;

absl::StatusCode CodeOf(int result) {
  switch (result & 0xff) {
    case SQLITE_FULL:
    case SQLITE_IOERR:
      return absl::StatusCode::kResourceExhausted;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
      return absl::StatusCode::kPermissionDenied;
    default:
      return absl::StatusCode::kFailedPrecondition;
  }
}

const char* AdviceFor(int result) {
  switch (result & 0xff) {
    case SQLITE_FULL:
    case SQLITE_IOERR:
      return "; make room on its disk";
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
      return "; let hearthd's user write to it and its directory";
    default:
      return "; move the file away to begin with an empty one";
  }
}

// A statement and its values. An error that is met is kept: the next calls do nothing.
class Statement {
 public:
  Statement(sqlite3* database, const char* sql) {
    result_ = sqlite3_prepare_v2(database, sql, -1, &statement_, nullptr);
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& Bind(std::string_view text) {
    return Bound([&](int i) {
      return sqlite3_bind_text64(statement_, i, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
    });
  }
  Statement& BindBytes(const void* bytes, size_t size) {
    return Bound([&](int i) {
      return size == 0 ? sqlite3_bind_zeroblob(statement_, i, 0)
                       : sqlite3_bind_blob64(statement_, i, bytes, size, SQLITE_TRANSIENT);
    });
  }
  Statement& Bind(int64_t number) {
    return Bound([&](int i) { return sqlite3_bind_int64(statement_, i, number); });
  }
  Statement& Bind(const RequestName& name) { return Bind(std::string_view(name.caller)).Bind(name.id); }

  // Whether there is a next row.
  bool Step() {
    if (result_ != SQLITE_OK && result_ != SQLITE_ROW) return false;
    result_ = sqlite3_step(statement_);
    return result_ == SQLITE_ROW;
  }
  // Runs what gives no rows.
  int Run() {
    while (Step()) {
    }
    return result();
  }
  // SQLITE_OK unless something went wrong.
  int result() const { return result_ == SQLITE_DONE || result_ == SQLITE_ROW ? SQLITE_OK : result_; }

  int64_t Number(int column) const { return sqlite3_column_int64(statement_, column); }
  std::string Text(int column) const {
    const void* bytes = sqlite3_column_blob(statement_, column);
    const int size = sqlite3_column_bytes(statement_, column);
    return bytes == nullptr ? "" : std::string(static_cast<const char*>(bytes), static_cast<size_t>(size));
  }

 private:
  template <class Call>
  Statement& Bound(Call call) {
    if (result_ == SQLITE_OK) result_ = call(++bound_);
    return *this;
  }

  sqlite3_stmt* statement_ = nullptr;
  int result_ = SQLITE_OK;
  int bound_ = 0;
};

std::vector<std::string> LinesOf(const std::string& text) {
  return absl::StrSplit(text, '\n', absl::SkipEmpty());
}

std::vector<int32_t> TokensOf(const std::string& bytes) {
  std::vector<int32_t> tokens(bytes.size() / sizeof(int32_t));
  if (!tokens.empty()) std::memcpy(tokens.data(), bytes.data(), tokens.size() * sizeof(int32_t));
  return tokens;
}

class SqliteStore final : public StateStore {
 public:
  SqliteStore(std::string path, SqliteStoreOptions options) : path_(std::move(path)), options_(options) {}

  absl::Status Open() {
    MutexLock lock(&mutex_);
    // Made here, so that nobody else may ever read it; what SQLite puts beside it follows.
    const int file = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file >= 0) close(file);
    sqlite3* database = nullptr;
    const int opened =
        sqlite3_open_v2(path_.c_str(), &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
    database_.reset(database);
    if (opened != SQLITE_OK) return Failure(opened);
    HEARTH_RETURN_IF_ERROR(SetUp());
    return MakeTables();
  }

  absl::StatusOr<std::vector<KeptRequest>> Requests() override {
    MutexLock lock(&mutex_);
    std::vector<KeptRequest> requests;
    Statement select(database_.get(),
                     "SELECT caller, id, kind, content, digest, seed, arrived_us, used_us FROM requests"
                     "  ORDER BY used_us DESC LIMIT ?");
    select.Bind(static_cast<int64_t>(options_.max_requests));
    while (select.Step()) {
      KeptRequest request;
      request.name = {select.Text(0), select.Text(1)};
      request.kind = select.Number(2) == static_cast<int>(RequestKind::kChat) ? RequestKind::kChat
                                                                              : RequestKind::kGenerate;
      request.content = select.Text(3);
      request.digest = select.Text(4);
      request.seed = static_cast<uint64_t>(select.Number(5));
      request.arrived = absl::FromUnixMicros(select.Number(6));
      request.used = absl::FromUnixMicros(select.Number(7));
      HEARTH_RETURN_IF_ERROR(ReadTokens(request));
      requests.push_back(std::move(request));
    }
    HEARTH_RETURN_IF_ERROR(Failure(select.result()));
    return requests;
  }

  absl::Status Write(const RequestChanges& changes) override {
    MutexLock lock(&mutex_);
    HEARTH_RETURN_IF_ERROR(Execute("BEGIN IMMEDIATE"));
    absl::Status status = WriteAll(changes);
    if (status.ok()) status = Execute("COMMIT");
    if (!status.ok()) (void)Execute("ROLLBACK");
    return status;
  }

  absl::StatusOr<std::map<std::string, KeptModel>> Models() override {
    MutexLock lock(&mutex_);
    std::map<std::string, KeptModel> models;
    Statement select(database_.get(), "SELECT name, path, objective, draft, adapters FROM models");
    while (select.Step()) {
      const std::string name = select.Text(0), path = select.Text(1);
      if (CheckName("name", name).ok() && CheckPath("path", path).ok())
        models[name] = {path, select.Text(2), select.Text(3), LinesOf(select.Text(4))};
    }
    HEARTH_RETURN_IF_ERROR(Failure(select.result()));
    return models;
  }

  absl::Status PutModel(const std::string& name, const KeptModel& model) override {
    MutexLock lock(&mutex_);
    Statement put(database_.get(), "INSERT OR REPLACE INTO models VALUES (?, ?, ?, ?, ?)");
    return Failure(put.Bind(name)
                       .Bind(model.path)
                       .Bind(model.objective)
                       .Bind(model.draft)
                       .Bind(absl::StrJoin(model.adapters, "\n"))
                       .Run());
  }

  absl::Status RemoveModel(const std::string& name) override {
    MutexLock lock(&mutex_);
    Statement remove(database_.get(), "DELETE FROM models WHERE name = ?");
    return Failure(remove.Bind(name).Run());
  }

  absl::StatusOr<std::map<std::string, std::string>> Hosts() override {
    MutexLock lock(&mutex_);
    std::map<std::string, std::string> hosts;
    Statement select(database_.get(), "SELECT id, content FROM hosts");
    while (select.Step()) hosts[select.Text(0)] = select.Text(1);
    HEARTH_RETURN_IF_ERROR(Failure(select.result()));
    return hosts;
  }

  absl::Status PutHost(const std::string& id, const std::string& content) override {
    MutexLock lock(&mutex_);
    Statement put(database_.get(), "INSERT OR REPLACE INTO hosts VALUES (?, ?)");
    return Failure(put.Bind(id).BindBytes(content.data(), content.size()).Run());
  }

  absl::Status RemoveHost(const std::string& id) override {
    MutexLock lock(&mutex_);
    Statement remove(database_.get(), "DELETE FROM hosts WHERE id = ?");
    return Failure(remove.Bind(id).Run());
  }

 private:
  // OK where `result` is none.
  absl::Status Failure(int result) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (result == SQLITE_OK) return absl::OkStatus();
    return absl::Status(CodeOf(result), absl::StrCat(path_, ": ", sqlite3_errstr(result), AdviceFor(result)));
  }
  absl::Status Execute(const char* sql) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return Failure(sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr));
  }

  absl::Status SetUp() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    HEARTH_RETURN_IF_ERROR(Execute(absl::StrCat("PRAGMA page_size = ", kPageBytes).c_str()));
    HEARTH_RETURN_IF_ERROR(Execute("PRAGMA journal_mode = WAL"));
    HEARTH_RETURN_IF_ERROR(Execute("PRAGMA synchronous = NORMAL"));
    HEARTH_RETURN_IF_ERROR(Execute("PRAGMA cache_size = -256"));  // KiB: it is seldom read
    HEARTH_RETURN_IF_ERROR(Execute("PRAGMA secure_delete = ON"));
    HEARTH_RETURN_IF_ERROR(Execute("PRAGMA trusted_schema = OFF"));
    HEARTH_RETURN_IF_ERROR(
        Execute(absl::StrCat("PRAGMA journal_size_limit = ", options_.max_bytes / 8).c_str()));
    HEARTH_RETURN_IF_ERROR(
        Execute(absl::StrCat("PRAGMA max_page_count = ", options_.max_bytes / kPageBytes).c_str()));
    Statement check(database_.get(), "PRAGMA quick_check(1)");
    if (check.Step() && check.Text(0) == "ok") return absl::OkStatus();
    return Failure(check.result() == SQLITE_OK ? SQLITE_CORRUPT : check.result());
  }

  absl::Status MakeTables() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    Statement select(database_.get(), "PRAGMA user_version");
    if (!select.Step()) return Failure(select.result());
    const int64_t version = select.Number(0);
    select.Run();
    if (version == kVersion) return absl::OkStatus();
    if (version < 0 || version > kVersion) {
      return absl::FailedPreconditionError(
          absl::StrCat(path_, ": was written by another version of Hearth (its tables are ", version,
                       ", this hearthd knows ", kVersion, ")", AdviceFor(SQLITE_CORRUPT)));
    }
    const absl::Span<const char* const> changes = absl::MakeConstSpan(kChanges).subspan(version);
    return Execute(
        absl::StrCat("BEGIN;", absl::StrJoin(changes, ""), "PRAGMA user_version = ", kVersion, ";COMMIT")
            .c_str());
  }

  // Pieces from the first on, up to one that is missing.
  absl::Status ReadTokens(KeptRequest& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    Statement select(database_.get(),
                     "SELECT first, tokens FROM tokens WHERE caller = ? AND id = ? ORDER BY first");
    select.Bind(request.name);
    while (select.Step() && select.Number(0) == static_cast<int64_t>(request.tokens.size())) {
      const std::vector<int32_t> piece = TokensOf(select.Text(1));
      request.tokens.insert(request.tokens.end(), piece.begin(), piece.end());
    }
    return Failure(select.result());
  }

  absl::Status WriteAll(const RequestChanges& changes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (changes.forget_all) HEARTH_RETURN_IF_ERROR(Execute("DELETE FROM requests; DELETE FROM tokens"));
    for (const RequestName& name : changes.removed) HEARTH_RETURN_IF_ERROR(Remove(name));
    for (const KeptRequest& request : changes.put) HEARTH_RETURN_IF_ERROR(Put(request));
    for (const RequestChanges::Tokens& tokens : changes.appended) HEARTH_RETURN_IF_ERROR(Append(tokens));
    return absl::OkStatus();
  }

  absl::Status Remove(const RequestName& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    Statement request(database_.get(), "DELETE FROM requests WHERE caller = ? AND id = ?");
    HEARTH_RETURN_IF_ERROR(Failure(request.Bind(name).Run()));
    Statement tokens(database_.get(), "DELETE FROM tokens WHERE caller = ? AND id = ?");
    return Failure(tokens.Bind(name).Run());
  }

  absl::Status Put(const KeptRequest& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    HEARTH_RETURN_IF_ERROR(Remove(request.name));
    Statement insert(database_.get(), "INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
    insert.Bind(request.name)
        .Bind(static_cast<int64_t>(request.kind))
        .BindBytes(request.content.data(), request.content.size())
        .Bind(request.digest)
        .Bind(static_cast<int64_t>(request.seed.value_or(0)))
        .Bind(absl::ToUnixMicros(request.arrived))
        .Bind(absl::ToUnixMicros(request.used));
    HEARTH_RETURN_IF_ERROR(Failure(insert.Run()));
    if (request.tokens.empty()) return absl::OkStatus();
    return Append({request.name, 0, request.tokens, request.used});
  }

  absl::Status Append(const RequestChanges::Tokens& piece) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    Statement insert(database_.get(), "INSERT INTO tokens VALUES (?, ?, ?, ?)");
    insert.Bind(piece.name)
        .Bind(static_cast<int64_t>(piece.first))
        .BindBytes(piece.tokens.data(), piece.tokens.size() * sizeof(int32_t));
    HEARTH_RETURN_IF_ERROR(Failure(insert.Run()));
    Statement update(database_.get(), "UPDATE requests SET used_us = ? WHERE caller = ? AND id = ?");
    return Failure(update.Bind(absl::ToUnixMicros(piece.used)).Bind(piece.name).Run());
  }

  const std::string path_;
  const SqliteStoreOptions options_;
  Mutex mutex_;
  Database database_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<std::unique_ptr<StateStore>> OpenSqliteStore(const std::string& path,
                                                            SqliteStoreOptions options) {
  auto store = std::make_unique<SqliteStore>(path, options);
  HEARTH_RETURN_IF_ERROR(store->Open());
  return store;
}

}  // namespace hearth
