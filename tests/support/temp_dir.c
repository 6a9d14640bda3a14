/* Temporary directories. */
#include "support.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

char *temp_dir_make(void)
{
    const char *base = getenv("TMPDIR");
    char *path = NULL;
    ck_assert_int_gt(asprintf(&path, "%s/millrace-test-XXXXXX", base != NULL ? base : "/tmp"), 0);
    ck_assert_ptr_nonnull(mkdtemp(path));
    return path;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

void temp_dir_remove(char *take_path)
{
    if (take_path != NULL)
        nftw(take_path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(take_path);
}
