// A PKCS#11 module that tries what a worker must not let it do: C_GetSlotList gives one number for each attempt, in the
// order of the test's list, 0 where it succeeded, else errno.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

typedef unsigned long word;

static word result(long r) { return r < 0 ? (word)errno : 0; }

static word try_open(const char *path, int flags)
{
	int fd = open(path, flags, 0600);
	word r = result(fd);
	if (fd >= 0) close(fd);
	return r;
}

static word try_exec(void)
{
	pid_t child = fork();
	if (child == 0) {
		execl("/bin/true", "true", (char *)NULL);
		_exit(errno);
	}
	int status = 0;
	if (child < 0 || waitpid(child, &status, 0) < 0) return (word)errno;
	return WIFEXITED(status) ? (word)WEXITSTATUS(status) : 255;
}

static word try_fork(void)
{
	pid_t child = fork();
	if (child == 0) _exit(0);
	word r = result(child);
	if (child > 0) waitpid(child, NULL, 0);
	return r;
}

static word try_processors(void)
{
	cpu_set_t all;
	CPU_ZERO(&all);
	for (int i = 0; i < CPU_SETSIZE; i++) CPU_SET(i, &all);
	return result(sched_setaffinity(getppid(), sizeof all, &all));
}

static word try_limits(void)
{
	struct rlimit64 l;
	return result(prlimit64(getppid(), RLIMIT_NOFILE, NULL, &l));
}

static word try_clone(void)
{
	long child = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
	if (child == 0) _exit(0);
	word r = result(child);
	if (child > 0) waitpid((pid_t)child, NULL, 0);
	return r;
}

static word try_socket(int family)
{
	int fd = socket(family, SOCK_DGRAM, 0);
	word r = result(fd);
	if (fd >= 0) close(fd);
	return r;
}

static word try_connect(const char *port)
{
	if (port == NULL) return 254;
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port)) };
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0) return (word)errno;
	word r = result(connect(fd, (struct sockaddr *)&a, sizeof a));
	close(fd);
	return r;
}

static word try_parent(const char *file)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", (int)getppid(), file);
	return try_open(path, O_RDONLY);
}

static word try_read(void)
{
	char buffer[8];
	struct iovec local = { buffer, sizeof buffer }, remote = { buffer, sizeof buffer };
	return result(process_vm_readv(getppid(), &local, 1, &remote, 1, 0));
}

static word core(void)
{
	struct rlimit l;
	getrlimit(RLIMIT_CORE, &l);
	return l.rlim_max == 0 ? 0 : 1;
}

static word slots(unsigned char present, word *list, word *count)
{
	(void)present;
	char path[4096];
	const char *secret = getenv("INTRUDER_SECRET"), *allowed = getenv("INTRUDER_ALLOWED");
	const char *descriptor = getenv("INTRUDER_DESCRIPTOR");
	word r[64];
	int n = 0;
	r[n++] = try_open(secret, O_RDONLY);
	snprintf(path, sizeof path, "%s.new", secret);
	r[n++] = try_open(path, O_WRONLY | O_CREAT);
	snprintf(path, sizeof path, "%s/new", allowed);
	r[n++] = try_open(path, O_RDWR | O_CREAT);
	r[n++] = try_parent("mem");
	r[n++] = try_parent("environ");
	r[n++] = try_read();
	r[n++] = getenv("INTRUDER_TAME") != NULL ? 0 : result(ptrace(PTRACE_ATTACH, getppid(), 0, 0)); // where it works, it stops the test
	r[n++] = result(kill(getppid(), 0));
	r[n++] = try_exec();
	r[n++] = try_clone();
	r[n++] = try_socket(AF_UNIX);
	r[n++] = try_socket(AF_NETLINK);
	r[n++] = try_socket(AF_PACKET);
	r[n++] = try_connect(getenv("INTRUDER_PORT"));
	r[n++] = try_connect(getenv("INTRUDER_OTHER_PORT"));
	r[n++] = result(unshare(CLONE_NEWNS));
	r[n++] = result(mount("none", "/mnt", "tmpfs", 0, NULL));
	r[n++] = result(syscall(SYS_io_uring_setup, 4, path));
	r[n++] = result(syscall(SYS_bpf, 0, path, 0));
	r[n++] = result(syscall(SYS_keyctl, 0, -3, 0));
	r[n++] = result(syscall(SYS_userfaultfd, 1));
	r[n++] = result(prctl(PR_SET_DUMPABLE, 1));
	r[n++] = result(setuid(0));
	r[n++] = result(fcntl(descriptor == NULL ? -1 : atoi(descriptor), F_GETFD));
	r[n++] = core();
	r[n++] = try_fork();
	r[n++] = try_limits();
	r[n++] = try_processors();
	r[n++] = result(setpriority(PRIO_PROCESS, (id_t)getppid(), 0));
	r[n++] = result(fcntl(0, F_SETOWN, getppid()));
	r[n++] = result(prctl(PR_SET_PDEATHSIG, SIGKILL));
	if (list != NULL && *count < (word)n) return 0x150; // CKR_BUFFER_TOO_SMALL
	if (list != NULL) memcpy(list, r, (size_t)n * sizeof *r);
	*count = (word)n;
	return 0;
}

static word nothing(void) { return 0; }

static struct {
	unsigned char version[2];
	void *functions[68];
} list = { { 2, 40 }, { 0 } };

word C_GetFunctionList(void **out)
{
	for (int i = 0; i < 68; i++) list.functions[i] = (void *)nothing;
	list.functions[4] = (void *)slots; // C_GetSlotList
	*out = &list;
	return 0;
}
