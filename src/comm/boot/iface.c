/* iface.c - walking getifaddrs(). */
#include "comm/boot/iface.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool is_ip(const struct ifaddrs *item)
{
    return item->ifa_addr != NULL && (item->ifa_flags & IFF_UP) != 0 &&
           (item->ifa_addr->sa_family == AF_INET || item->ifa_addr->sa_family == AF_INET6);
}

static epx_addr addr_of(const struct ifaddrs *item)
{
    epx_addr addr = {.bytes = item->ifa_addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                                    : sizeof(struct sockaddr_in)};

    memcpy(&addr.sa, item->ifa_addr, addr.bytes);
    return addr;
}

/* How gladly an address is used; 0 for not at all. */
static int preference(const struct ifaddrs *item, int family)
{
    int score = 1;

    if (item->ifa_addr->sa_family == family)
        score += 8;
    if (item->ifa_addr->sa_family == AF_INET)
        return score + 2;
    if (!IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)item->ifa_addr)->sin6_addr))
        score += 1;
    return score;
}

static void list_names(const struct ifaddrs *list, char *text, size_t size)
{
    const struct ifaddrs *item;
    size_t used = 0;

    text[0] = '\0';
    for (item = list; item != NULL && used < size; item = item->ifa_next)
        if (item->ifa_addr != NULL && item->ifa_addr->sa_family == AF_PACKET)
            used +=
                (size_t)snprintf(text + used, size - used, "%s%s%s", used > 0 ? ", " : "",
                                 item->ifa_name, (item->ifa_flags & IFF_UP) != 0 ? "" : " (down)");
}

epx_status epx_iface_address(const char *name, int family, epx_addr *addr_out)
{
    struct ifaddrs *list = NULL, *item;
    int best = 0, score;
    char names[160];

    if (getifaddrs(&list) != 0)
        return epx_fail(EPX_ERR_SYSTEM, "listing the network interfaces: %s", strerror(errno));
    for (item = list; item != NULL; item = item->ifa_next) {
        if (!is_ip(item) || strcmp(item->ifa_name, name) != 0)
            continue;
        score = preference(item, family);
        if (score > best) {
            best = score;
            *addr_out = addr_of(item);
        }
    }
    list_names(list, names, sizeof(names));
    freeifaddrs(list);
    if (best == 0)
        return epx_fail(EPX_ERR_INVALID,
                        "no interface \"%s\" that is up and has an IP address (there are: %s)",
                        name, names);
    return EPX_OK;
}

void epx_iface_name(const epx_addr *addr, char *name, size_t size)
{
    struct ifaddrs *list = NULL, *item;

    snprintf(name, size, "%s", "");
    if (getifaddrs(&list) != 0)
        return;
    for (item = list; item != NULL && name[0] == '\0'; item = item->ifa_next) {
        epx_addr theirs;

        if (!is_ip(item))
            continue;
        theirs = addr_of(item);
        if (epx_addr_same_host(addr, &theirs))
            snprintf(name, size, "%s", item->ifa_name);
    }
    freeifaddrs(list);
}

/* The source address that the kernel would use towards `far`; sends nothing. */
static bool source_towards(const char *far, epx_addr *addr_out)
{
    epx_addr target;
    bool found = false;
    int fd;

    if (epx_addr_parse(far, &target) != EPX_OK)
        return false;
    epx_addr_set_port(&target, 9);
    fd = socket(target.sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    if (connect(fd, (const struct sockaddr *)&target.sa, target.bytes) == 0)
        found = epx_addr_of_socket(fd, addr_out) == EPX_OK;
    close(fd);
    if (found)
        epx_addr_set_port(addr_out, 0);
    return found;
}

epx_status epx_iface_outward(epx_addr *addr_out)
{
    struct ifaddrs *list = NULL, *item;
    int best = 0, score;

    /* Addresses for documentation (RFC 5737, RFC 3849): nobody's, so only a default route fits. */
    if (source_towards("203.0.113.1", addr_out) || source_towards("2001:db8:ffff::1", addr_out))
        return EPX_OK;
    if (getifaddrs(&list) != 0)
        return epx_fail(EPX_ERR_SYSTEM, "listing the network interfaces: %s", strerror(errno));
    for (item = list; item != NULL; item = item->ifa_next) {
        if (!is_ip(item) || (item->ifa_flags & (IFF_LOOPBACK | IFF_RUNNING)) != IFF_RUNNING)
            continue;
        score = preference(item, AF_UNSPEC);
        if (score > best) {
            best = score;
            *addr_out = addr_of(item);
        }
    }
    freeifaddrs(list);
    return best > 0 ? EPX_OK : epx_iface_loopback(addr_out);
}

epx_status epx_iface_loopback(epx_addr *addr_out)
{
    epx_addr addr;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (epx_addr_parse("127.0.0.1", &addr) == EPX_OK && fd >= 0 &&
        bind(fd, (const struct sockaddr *)&addr.sa, addr.bytes) == 0) {
        close(fd);
        *addr_out = addr;
        return EPX_OK;
    }
    if (fd >= 0)
        close(fd);
    return epx_addr_parse("::1", addr_out);
}
