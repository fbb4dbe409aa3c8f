/* memfd.c - create, seal, check, map. */
#include "core/memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* Linux 6.3; younger kernels may insist on it, older ones know nothing of it. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

static int create_file(void)
{
    int fd = memfd_create("epx", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

    if (fd < 0 && errno == EINVAL)
        fd = memfd_create("epx", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd;
}

epx_status epx_memfd_create(const char *what, size_t bytes, int *fd_out)
{
    epx_status st;
    int fd;

    if (bytes == 0 || bytes > (size_t)INT64_MAX)
        return epx_fail(EPX_ERR_INVALID, "%s: shared memory of %zu bytes", what, bytes);
    fd = create_file();
    if (fd < 0)
        return epx_fail(EPX_ERR_SYSTEM, "%s: memfd_create: %s", what, strerror(errno));
    if (ftruncate(fd, (off_t)bytes) < 0) {
        st = epx_fail(EPX_ERR_NO_MEMORY, "%s: shared memory of %zu bytes: %s", what, bytes,
                      strerror(errno));
        goto err_close;
    }
    if (fcntl(fd, F_ADD_SEALS, SEALS) < 0) {
        st = epx_fail(EPX_ERR_SYSTEM, "%s: sealing shared memory: %s", what, strerror(errno));
        goto err_close;
    }
    *fd_out = fd;
    return EPX_OK;

err_close:
    close(fd);
    return st;
}

epx_status epx_memfd_check(const char *what, int fd, size_t *bytes_out)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat sb;

    if (seals < 0 || (seals & SEALS) != SEALS)
        return epx_fail(EPX_ERR_MISMATCH, "%s: a peer offered no sealed memory", what);
    if (fstat(fd, &sb) < 0 || sb.st_size <= 0)
        return epx_fail(EPX_ERR_MISMATCH, "%s: a peer offered memory of no size", what);
    *bytes_out = (size_t)sb.st_size;
    return EPX_OK;
}

epx_status epx_memfd_map(const char *what, int fd, size_t bytes, void **base_out)
{
    size_t real = 0;
    epx_status st = epx_memfd_check(what, fd, &real);
    void *base;

    if (st != EPX_OK)
        return st;
    if (real != bytes)
        return epx_fail(EPX_ERR_MISMATCH, "%s: %zu bytes of shared memory expected, %zu offered",
                        what, bytes, real);
    base = epx_mem_map(what, fd, bytes);
    if (base == NULL)
        return EPX_ERR_NO_MEMORY;
    *base_out = base;
    return EPX_OK;
}
