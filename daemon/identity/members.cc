#include "daemon/identity/members.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <optional>
#include <tuple>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "daemon/identity/base32.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

constexpr absl::string_view kApiKey = "api-";
constexpr char kNever[] = "never";

std::optional<absl::Time> ParseExpiry(absl::string_view word) {
  int64_t seconds = 0;
  if (word == kNever) return absl::InfiniteFuture();
  if (!absl::SimpleAtoi(word, &seconds)) return std::nullopt;
  return absl::FromUnixSeconds(seconds);
}

std::string FormatExpiry(absl::Time expires) {
  return expires == absl::InfiniteFuture() ? kNever : absl::StrCat(absl::ToUnixSeconds(expires));
}

// "ROLE ID EXPIRES NAME", seconds since 1970, or "api-ROLE ID never NAME"; names may have blanks.
std::optional<Member> ParseLine(absl::string_view line) {
  const std::vector<std::string> words = absl::StrSplit(line, absl::MaxSplits(' ', 3));
  if (words.size() != 4) return std::nullopt;
  absl::string_view role_name = words[0];
  const bool api_key = absl::ConsumePrefix(&role_name, kApiKey);
  const std::optional<Role> role = ParseRole(role_name);
  const absl::StatusOr<HostId> id = ParseHostId(words[1]);
  const std::optional<absl::Time> expires = ParseExpiry(words[2]);
  if (!role || !id.ok() || !expires || !CheckName("", words[3]).ok()) return std::nullopt;
  return Member{*id, *role, words[3], *expires, api_key};
}

bool IsCalled(const Member& member, absl::string_view who) {
  if (member.name == who) return true;
  const std::optional<std::string> digits = NormalBase32(who);
  if (!digits) return false;
  return *digits == member.id.Short() || *digits == NormalBase32(member.id.Text());
}

}  // namespace

std::string Members::Format() const {
  std::string text;
  for (const auto& [id, member] : members_) {
    absl::StrAppend(&text, member.api_key ? kApiKey : "", RoleName(member.role), " ", id.Text(), " ",
                    FormatExpiry(member.expires), " ", member.name, "\n");
  }
  return text;
}

absl::StatusOr<Members> Members::Parse(absl::string_view text) {
  Members members;
  size_t number = 0;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    ++number;
    const std::optional<Member> member = ParseLine(line);
    if (!member) {
      return absl::FailedPreconditionError(
          absl::StrCat("line ", number, " of the list of members is damaged: mend it or take it out"));
    }
    HEARTH_RETURN_IF_ERROR(members.Add(*member));
  }
  return members;
}

absl::Status Members::Add(const Member& member) {
  if (!members_.contains(member.id) && members_.size() >= kMost) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the home has ", kMost, " members already: forget some with `hearth forget`"));
  }
  members_[member.id] = member;
  return absl::OkStatus();
}

const Member* Members::Find(const HostId& id) const {
  const auto found = members_.find(id);
  return found == members_.end() ? nullptr : &found->second;
}

const Member* Members::FindApiKey(const HostId& id) const {
  const Member* found = nullptr;
  for (const auto& [known, member] : members_) {
    const bool same = CRYPTO_memcmp(known.digest().data(), id.digest().data(), id.digest().size()) == 0;
    if (same && member.api_key) found = &member;
  }
  return found;
}

absl::StatusOr<Member> Members::Find(absl::string_view who, absl::Span<const Role> roles) const {
  std::vector<std::string> names, ids;
  const Member* found = nullptr;
  for (const auto& [id, member] : members_) {
    if (std::find(roles.begin(), roles.end(), member.role) == roles.end()) continue;
    names.push_back(member.name);
    if (!IsCalled(member, who)) continue;
    found = &member;
    ids.push_back(id.Short());
  }
  if (ids.size() > 1) {
    return absl::FailedPreconditionError(
        absl::StrCat("several are called ", Printable(who), ": say which by its id, ", NameList(ids)));
  }
  if (found != nullptr) return *found;
  return absl::NotFoundError(absl::StrCat("nobody is called ", Printable(who), "; there ",
                                          names.empty() ? "is nobody" : "are: " + NameList(names)));
}

std::vector<Member> Members::List() const {
  std::vector<Member> list;
  for (const auto& [id, member] : members_) list.push_back(member);
  std::sort(list.begin(), list.end(),
            [](const Member& a, const Member& b) { return std::tie(a.name, a.id) < std::tie(b.name, b.id); });
  return list;
}

}  // namespace hearth
