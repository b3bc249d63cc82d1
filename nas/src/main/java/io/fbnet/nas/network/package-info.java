/** Networks of FBNet blocks as graphs: the supernet, single architectures, single blocks. */
package io.fbnet.nas.network;
