package io.fbnet.engine.cuda;

/** Lets a back end of one rank exchange by NCCL, which no program asks for. */
public final class NcclAlone {
  private NcclAlone() {}

  /** Joins a communicator of one. */
  public static void join(CudaBackend backend) {
    backend.ranks().joinAlone();
  }
}
