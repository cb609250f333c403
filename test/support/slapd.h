// A real directory server on loopback, for as long as this object lives: OpenLDAP's slapd with an empty database of
// dc=example,dc=org, filled from LDIF before it starts.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "identity/certificates.h"
#include "sys/fd.h"
#include "test/support/must.h"
#include "test/support/temp_dir.h"

namespace dtr::test {

inline constexpr const char* kReaderDn = "cn=reader,dc=example,dc=org";
inline constexpr const char* kReaderPassword = "reader may read";

// An attribute per line as in LDIF; "dn" first.
inline std::string person(const std::string& name, const std::string& more = {}) {
    return "dn: uid=" + name +
           ",ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nobjectClass: windowsLike\nuid: " + name +
           "\ncn: " + name + " Example\nsn: Example\nuserPassword: " + name + "s password\n" + more + "\n";
}

inline int free_port() {
    // Below the range the kernel gives to clients, so that nobody takes it between our look and the server's bind.
    static int next = 20'000 + (::getpid() * 37) % 12'000;
    for (int tries = 0; tries < 1'000; ++tries) {
        next = next >= 32'000 ? 20'000 : next + 1;
        const UniqueFd probe(::socket(AF_INET, SOCK_STREAM, 0));
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(static_cast<std::uint16_t>(next));
        if (::bind(probe.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return next;
    }
    throw std::runtime_error("no free port");
}

inline bool listens(int port) {
    const UniqueFd probe(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    return ::connect(probe.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
}

// A program that ends with the test. Answers its pid; what it says is appended to `log`.
inline pid_t spawn(const std::vector<std::string>& command, const std::string& log) {
    std::vector<char*> arguments;
    for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    const pid_t child = ::fork();
    if (child != 0) return child;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::dup2(out, 1);
    ::dup2(out, 2);
    ::execvp(arguments[0], arguments.data());
    _exit(127);
}

class Slapd {
  public:
    explicit Slapd(const std::string& ldif) {
        make_certificates();
        write("slapd.conf", configuration());
        write("data.ldif",
              "dn: dc=example,dc=org\nobjectClass: domain\ndc: example\n\n"
              "dn: cn=reader,dc=example,dc=org\nobjectClass: person\ncn: reader\nsn: reader\nuserPassword: " +
                  std::string(kReaderPassword) + "\n\n" + ldif);
        std::filesystem::create_directory(file("db"));
        if (run({"/usr/sbin/slapadd", "-q", "-f", file("slapd.conf"), "-l", file("data.ldif")}) != 0)
            throw std::runtime_error("slapadd failed:\n" + log());
        start();
    }
    ~Slapd() { stop(); }
    Slapd(const Slapd&) = delete;
    Slapd& operator=(const Slapd&) = delete;

    void start() {
        pid_ =
            spawn({"/usr/sbin/slapd", "-d", "0", "-f", file("slapd.conf"), "-h", url() + " " + tls_url()}, file("log"));
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (!listens(port_) || !listens(tls_port_)) {
            if (std::chrono::steady_clock::now() > end || ::waitpid(pid_, nullptr, WNOHANG) != 0)
                throw std::runtime_error("slapd does not start (package slapd):\n" + log());
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
    }
    void stop() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGTERM);
        ::waitpid(pid_, nullptr, 0);
        pid_ = 0;
    }

    [[nodiscard]] int port() const { return port_; }
    [[nodiscard]] std::string url() const { return "ldap://127.0.0.1:" + std::to_string(port_); }
    [[nodiscard]] std::string tls_url() const { return "ldaps://127.0.0.1:" + std::to_string(tls_port_); }
    // An address its certificate is not for.
    [[nodiscard]] std::string misnamed_url() const { return "ldaps://localhost:" + std::to_string(tls_port_); }
    // Files of its own, by name: server.pem, server.key.
    [[nodiscard]] std::string file(const std::string& name) const { return directory_.path() + "/" + name; }
    [[nodiscard]] const std::string& ca() const { return authority_.certificate_pem; }

  private:
    void write(const std::string& name, std::string_view text) const { std::ofstream(file(name)) << text; }
    [[nodiscard]] std::string log() const {
        std::ostringstream out;
        out << std::ifstream(file("log")).rdbuf();
        return out.str();
    }

    void make_certificates() {
        authority_ = must(identity::make_authority("directory CA", system_clock(), system_random()));
        const auto server = must(identity::issue_server_certificate(
            authority_, {.common_name = "directory", .names = {"127.0.0.1"}}, system_clock(), system_random()));
        write("server.pem", server.certificate_pem);
        write("server.key", server.key_pem.expose());
        write("ca.pem", authority_.certificate_pem);
    }

    // bind_anon_cred: a name without a password logs in, as in many directories.
    [[nodiscard]] std::string configuration() const {
        return "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n"
               "include /etc/ldap/schema/inetorgperson.schema\n"
               "attributetype ( 1.2.840.113556.1.4.8 NAME 'userAccountControl' EQUALITY integerMatch\n"
               "  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )\n"
               "objectclass ( 1.3.6.1.4.1.4203.666.1.1 NAME 'windowsLike' SUP top AUXILIARY MAY userAccountControl )\n"
               "modulepath /usr/lib/ldap\nmoduleload back_mdb\nallow bind_anon_cred\npidfile " +
               file("pid") + "\nTLSCertificateFile " + file("server.pem") + "\nTLSCertificateKeyFile " +
               file("server.key") + "\nTLSCACertificateFile " + file("ca.pem") +
               "\ndatabase mdb\nsuffix \"dc=example,dc=org\"\nrootdn \"cn=root,dc=example,dc=org\"\n"
               "rootpw root-password\nmaxsize 67108864\ndbnosync\ndirectory " +
               file("db") +
               "\nindex uid,objectClass eq\nlimits dn.exact=\"cn=reader,dc=example,dc=org\" size.soft=500 "
               "size.hard=500 "
               "size.prtotal=unlimited\n"
               "access to attrs=userPassword by anonymous auth by * none\n"
               "access to dn.subtree=\"ou=secret,dc=example,dc=org\" by * none\n"
               "access to * by dn.exact=\"cn=reader,dc=example,dc=org\" read by * none\n";
    }

    [[nodiscard]] int run(const std::vector<std::string>& command) const {
        int status = 0;
        ::waitpid(spawn(command, file("log")), &status, 0);
        return status;
    }

    TempDir directory_{quick_directory()};
    identity::KeyAndCertificate authority_;
    int port_ = free_port();
    int tls_port_ = free_port();
    pid_t pid_ = 0;
};

}  // namespace dtr::test
