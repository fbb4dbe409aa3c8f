/* netcount.c - /sys/class/net/<interface>/statistics/tx_bytes, once per node. */
#include "common/netcount.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/alloc.h"
#include "common/gather.h"

/* ---- Which interface ------------------------------------------------------------------------- */

static bool same_address(const struct sockaddr *a, const struct sockaddr *b)
{
    if (a == NULL || a->sa_family != b->sa_family)
        return false;
    if (a->sa_family == AF_INET)
        return memcmp(&((const struct sockaddr_in *)a)->sin_addr,
                      &((const struct sockaddr_in *)b)->sin_addr, sizeof(struct in_addr)) == 0;
    return a->sa_family == AF_INET6 &&
           memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
                  &((const struct sockaddr_in6 *)b)->sin6_addr, sizeof(struct in6_addr)) == 0;
}

/* The interface that has the address, which is copied to name. */
static bool find_interface(const struct sockaddr *address, char *name, size_t bytes)
{
    struct ifaddrs *list, *at;
    bool found = false;

    if (getifaddrs(&list) != 0)
        return false;
    for (at = list; at != NULL && !found; at = at->ifa_next) {
        found = same_address(at->ifa_addr, address);
        if (found)
            snprintf(name, bytes, "%s", at->ifa_name);
    }
    freeifaddrs(list);
    return found;
}

/* The local interface of the route to host. Nothing is sent: a datagram socket only looks it up. */
static bool find_route(const char *host, char *name, size_t bytes)
{
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *list;
    struct sockaddr_storage local = {0};
    socklen_t length = sizeof(local);
    bool found = false;
    int fd;

    if (getaddrinfo(host, "9", &hints, &list) != 0)
        return false;
    fd = socket(list->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, list->ai_addr, list->ai_addrlen) == 0 &&
        getsockname(fd, (struct sockaddr *)&local, &length) == 0)
        found = find_interface((struct sockaddr *)&local, name, bytes);
    if (fd >= 0)
        close(fd);
    freeaddrinfo(list);
    return found;
}

static void choose_interface(char *name, size_t bytes)
{
    const char *given = getenv("EPX_INTERFACE"), *master = getenv("MASTER_ADDR"),
               *devices = getenv("UCX_NET_DEVICES");

    name[0] = '\0';
    if (given != NULL && *given != '\0')
        snprintf(name, bytes, "%s", given);
    else if (master != NULL && find_route(master, name, bytes))
        return;
    else if (devices != NULL && if_nametoindex(devices) != 0)
        snprintf(name, bytes, "%s", devices);
}

/* ---- One per node ---------------------------------------------------------------------------- */

/* A network that can be told from others: of which kernel, which namespace, which interface. */
typedef struct network {
    char boot_id[40];
    uint64_t namespace;
    char interface[64];
    int32_t usable;
} network;

static int open_counter(const char *interface)
{
    char path[160];

    if (interface[0] == '\0' || strchr(interface, '/') != NULL)
        return -1;
    snprintf(path, sizeof(path), "/sys/class/net/%s/statistics/tx_bytes", interface);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static void describe(const netcount *n, network *mine)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    struct stat info;

    memset(mine, 0, sizeof(*mine));
    mine->usable = n->fd >= 0 && fd >= 0 &&
                   read(fd, mine->boot_id, sizeof(mine->boot_id) - 1) > 0 &&
                   stat("/proc/self/ns/net", &info) == 0;
    if (mine->usable)
        mine->namespace = info.st_ino;
    memcpy(mine->interface, n->interface, sizeof(mine->interface));
    if (fd >= 0)
        close(fd);
}

static bool same_network(const network *a, const network *b)
{
    return strcmp(a->boot_id, b->boot_id) == 0 && a->namespace == b->namespace &&
           strcmp(a->interface, b->interface) == 0;
}

/* Each node must have a network of its own. This rank counts if it is the first of its node. */
static void judge(netcount *n, const epx_comm *comm, const network *all)
{
    int32_t rank, earlier, me = epx_comm_rank(comm);

    n->known = epx_comm_num_nodes(comm) > 1;
    n->counts = true;
    for (rank = 0; rank < epx_comm_size(comm); rank++) {
        n->known = n->known && all[rank].usable;
        for (earlier = 0; earlier < rank; earlier++) {
            bool same_node = epx_comm_node_of(comm, rank) == epx_comm_node_of(comm, earlier);

            if (same_network(&all[rank], &all[earlier]) != same_node)
                n->known = false;
            if (rank == me && same_node)
                n->counts = false;
        }
    }
}

epx_status netcount_open(netcount *n, epx_comm *comm)
{
    network mine, *all = tool_alloc("networks", (size_t)epx_comm_size(comm), sizeof(*all));
    epx_status st;

    *n = (netcount){.fd = -1};
    choose_interface(n->interface, sizeof(n->interface));
    n->fd = open_counter(n->interface);
    describe(n, &mine);
    st = epx_comm_allgather(comm, &mine, sizeof(mine), all);
    if (st == EPX_OK)
        judge(n, comm, all);
    free(all);
    return st;
}

void netcount_close(netcount *n)
{
    if (n->fd >= 0)
        close(n->fd);
    *n = (netcount){.fd = -1};
}

epx_status netcount_read(const netcount *n, epx_comm *comm, uint64_t *bytes_out)
{
    char text[32] = "";
    uint64_t mine = 0, sum = 0;
    epx_status st;

    if (n->counts && n->fd >= 0 && pread(n->fd, text, sizeof(text) - 1, 0) > 0)
        mine = strtoull(text, NULL, 10);
    st = gather_sum(comm, mine, &sum);
    if (st == EPX_OK && n->known)
        *bytes_out = sum;
    return st;
}
