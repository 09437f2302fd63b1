// Package sandbox takes from a process what it does not need: files, folders and ports (Landlock), system calls (seccomp),
// privileges, dumps, inherited descriptors. The daemon confines itself with it, and, further, the processes of its PKCS#11
// modules. It calls the kernel by itself and needs no cgo.
//
// What is taken can never be had again. Landlock and privileges belong to threads, and pass on to threads and processes that a
// thread starts from then on; a [Filter] is put on all threads of the process at once.
package sandbox
