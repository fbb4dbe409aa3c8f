/* host.c - a short hwloc probe. */
#include "comm/topo/host.h"

#include <errno.h>
#include <fcntl.h>
#include <hwloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Components that would start GPU drivers, and the one that reads the PCI bus through libpciaccess,
 * which keeps memory of each load: hwloc then takes the bus from sysfs. */
static const char *const unwanted[] = {"opencl", "gl", "cuda", "nvml", "rsmi", "levelzero", "pci"};

static epx_status load(hwloc_topology_t *topology_out)
{
    hwloc_topology_t topology;
    size_t i;

    if (hwloc_topology_init(&topology) < 0)
        return epx_fail(EPX_ERR_SYSTEM, "hwloc: %s", strerror(errno));
    for (i = 0; i < sizeof(unwanted) / sizeof(unwanted[0]); i++)
        (void)hwloc_topology_set_components(topology, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST,
                                            unwanted[i]); /* fails where there is no such plug-in */
    if (hwloc_topology_set_io_types_filter(topology, HWLOC_TYPE_FILTER_KEEP_IMPORTANT) < 0 ||
        hwloc_topology_load(topology) < 0) {
        epx_status st =
            epx_fail(EPX_ERR_SYSTEM, "hwloc cannot read this machine: %s", strerror(errno));

        hwloc_topology_destroy(topology);
        return st;
    }
    *topology_out = topology;
    return EPX_OK;
}

/* hwloc says -1 for "at several depths" and 0 for "none told". */
static int32_t count_type(hwloc_topology_t topology, hwloc_obj_type_t type)
{
    int n = hwloc_get_nbobjs_by_type(topology, type);

    return n > 0 ? (int32_t)n : -1;
}

/* Units that are allowed here and that this process is bound to. */
static int32_t count_pus(hwloc_topology_t topology)
{
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    int n;

    if (set == NULL)
        return -1;
    if (hwloc_get_cpubind(topology, set, HWLOC_CPUBIND_PROCESS) < 0)
        hwloc_bitmap_copy(set, hwloc_topology_get_allowed_cpuset(topology));
    hwloc_bitmap_and(set, set, hwloc_topology_get_allowed_cpuset(topology));
    n = hwloc_bitmap_weight(set);
    hwloc_bitmap_free(set);
    return n > 0 ? (int32_t)n : -1;
}

/* The system's number of the one NUMA node that the device hangs on. */
static int32_t numa_of(hwloc_topology_t topology, hwloc_obj_t device)
{
    hwloc_obj_t parent = hwloc_get_non_io_ancestor_obj(topology, device);

    if (parent == NULL || parent->nodeset == NULL || hwloc_bitmap_weight(parent->nodeset) != 1)
        return -1;
    return (int32_t)hwloc_bitmap_first(parent->nodeset);
}

/* First line of a device's file in the network or infiniband class, false when there is none. */
static bool read_class(const char *class, const char *device, const char *file, char *text,
                       size_t size)
{
    char path[256];
    ssize_t n;
    int fd;

    if (snprintf(path, sizeof(path), "/sys/class/%s/%s/%s", class, device, file) >=
        (int)sizeof(path))
        return false;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    n = read(fd, text, size - 1);
    close(fd);
    if (n <= 0)
        return false;
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return true;
}

static void read_network(epx_host_nic *nic)
{
    char text[64];
    long long mbps;

    if (read_class("net", nic->name, "speed", text, sizeof(text))) {
        mbps = strtoll(text, NULL, 10);
        nic->mbps = mbps > 0 ? (int64_t)mbps : -1;
    }
    if (read_class("net", nic->name, "operstate", text, sizeof(text)))
        nic->up = strcmp(text, "up") == 0 ? 1 : strcmp(text, "down") == 0 ? 0 : -1;
}

/* Of port 1: "400 Gb/sec (4X NDR)" and "4: ACTIVE". */
static void read_infiniband(epx_host_nic *nic)
{
    char text[64], *end;
    double gbps;
    long state;

    if (read_class("infiniband", nic->name, "ports/1/rate", text, sizeof(text))) {
        gbps = strtod(text, &end);
        nic->mbps =
            gbps > 0 && gbps < 1e6 && strncmp(end, " Gb/sec", 7) == 0 ? (int64_t)(gbps * 1000) : -1;
    }
    if (read_class("infiniband", nic->name, "ports/1/state", text, sizeof(text))) {
        state = strtol(text, NULL, 10);
        nic->up = state <= 0 ? -1 : state == 4;
    }
}

static void list_nics(hwloc_topology_t topology, epx_host *host)
{
    hwloc_obj_t device = NULL;

    while ((device = hwloc_get_next_osdev(topology, device)) != NULL) {
        epx_host_nic nic = {.numa = numa_of(topology, device), .mbps = -1, .up = -1};
        hwloc_obj_osdev_type_t type = device->attr->osdev.type;

        if (type != HWLOC_OBJ_OSDEV_NETWORK && type != HWLOC_OBJ_OSDEV_OPENFABRICS)
            continue;
        if (device->name == NULL || strlen(device->name) >= sizeof(nic.name) ||
            host->num_nics == EPX_HOST_MAX_NICS)
            continue;
        snprintf(nic.name, sizeof(nic.name), "%s", device->name);
        if (type == HWLOC_OBJ_OSDEV_NETWORK)
            read_network(&nic);
        else
            read_infiniband(&nic);
        host->nics[host->num_nics++] = nic;
    }
}

epx_status epx_host_probe(epx_host *host_out)
{
    hwloc_topology_t topology = NULL;
    epx_host host;
    epx_status st;

    st = load(&topology);
    if (st != EPX_OK)
        return st;
    memset(&host, 0, sizeof(host));
    host.num_numa = count_type(topology, HWLOC_OBJ_NUMANODE);
    host.num_cores = count_type(topology, HWLOC_OBJ_CORE);
    host.num_pus = count_pus(topology);
    list_nics(topology, &host);
    hwloc_topology_destroy(topology);
    *host_out = host;
    return EPX_OK;
}
