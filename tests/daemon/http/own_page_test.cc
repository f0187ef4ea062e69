#include "daemon/http/own_page.h"

#include "gtest/gtest.h"

namespace hearth {
namespace {

HttpRequest Asked(const std::string& host, const std::string& origin) {
  HttpRequest request;
  request.host = host;
  request.origin = origin;
  return request;
}

TEST(OwnPageTest, NamesThatSomebodyOwnsAreNoAddresses) {
  for (const char* host :
       {"127.0.0.1:7780", "192.168.1.2", "[::1]:7780", "[fe80::1]", "localhost", "LOCALHOST:1"}) {
    EXPECT_TRUE(IsAddressOrLocalhost(host)) << host;
  }
  for (const char* host :
       {"", "nas", "localhost.evil.example", "127.0.0.1.evil.example", "[", "[]", "[::1", ":80", "127.1"}) {
    EXPECT_FALSE(IsAddressOrLocalhost(host)) << host;
  }
}

TEST(OwnPageTest, OnlyThisMachinesAddressesAreLoopback) {
  for (const char* host : {"127.0.0.1", "127.8.9.1:1", "[::1]", "[::ffff:127.0.0.1]:1", "localhost"}) {
    EXPECT_TRUE(IsLoopbackHost(host)) << host;
  }
  for (const char* host : {"0.0.0.0", "10.0.0.1:7780", "[::2]", "[::ffff:10.0.0.1]", "nas"}) {
    EXPECT_FALSE(IsLoopbackHost(host)) << host;
  }
}

TEST(OwnPageTest, PageIsOwnUnderTheNameAndPortThatItAsks) {
  EXPECT_TRUE(IsOwnPage(Asked("127.0.0.1:7780", "http://127.0.0.1:7780")));
  EXPECT_FALSE(IsOwnPage(Asked("127.0.0.1:7780", "http://127.0.0.1:7781")));
  EXPECT_FALSE(IsOwnPage(Asked("127.0.0.1:7780", "https://127.0.0.1:7780")));
  EXPECT_FALSE(IsOwnPage(Asked("127.0.0.1:7780", "http://localhost:7780")));
  EXPECT_FALSE(IsOwnPage(Asked("evil.example:7780", "http://evil.example:7780")));
  EXPECT_FALSE(IsOwnPage(Asked("127.0.0.1:7780", "null")));
  EXPECT_FALSE(IsOwnPage(Asked("", "http://")));
}

TEST(OwnPageTest, PageThatShowsAKeyIsOwnUnderAnyNameThatItAsks) {
  HttpRequest request = Asked("nas.home", "https://nas.home");  // behind a proxy, say
  EXPECT_FALSE(IsOwnPage(request));
  request.role = Role::kClient;
  EXPECT_TRUE(IsOwnPage(request));
  request.origin = "https://evil.example";
  EXPECT_FALSE(IsOwnPage(request));
  request.origin = "null";
  EXPECT_FALSE(IsOwnPage(request));
}

}  // namespace
}  // namespace hearth
